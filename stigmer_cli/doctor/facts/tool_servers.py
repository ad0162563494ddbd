"""Whether the tool servers of agents are there: the program of a command, its folder, and what listens behind a URL."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from stigmer_cli.api.agent_tools import McpBody
from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.facts.facts import ToolServerSeen
from stigmer_cli.errors import reason_of
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.proxies import Proxies

SERVERS_MAX = 20
CONNECT_S = 1.0
PORTS = {"http": 80, "https": 443}


async def probe_tool_servers(servers: Sequence[tuple[str, McpBody]], proxies: Proxies) -> tuple[ToolServerSeen, ...]:
    """What is wrong with the first `SERVERS_MAX` of `servers`, each with the name of its agent. None is started."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_probe(mcp, proxies), name=mcp.label) for _, mcp in servers[:SERVERS_MAX]]
    return tuple(
        ToolServerSeen(agent=agent, label=mcp.label, why=task.result())
        for (agent, mcp), task in zip(servers, tasks, strict=False)
    )


async def _probe(mcp: McpBody, proxies: Proxies) -> str:
    if mcp.url is None:
        return await in_thread(lambda: _why_not_started(mcp))
    return await _why_not_connected(mcp.url, proxies)


def _why_not_started(mcp: McpBody) -> str:
    """Why the command cannot be started, as far as its files tell; empty if nothing is wrong with them."""
    if mcp.cwd is not None and not Path(mcp.cwd).is_dir():
        return f"there is no folder {mcp.cwd}"
    program = mcp.command[0]
    if "/" in program:
        is_there = shutil.which(str(Path(mcp.cwd or Path.home()) / program)) is not None
    else:
        is_there = shutil.which(program, path=mcp.env.get("PATH")) is not None
    return "" if is_there else f"there is no program {program}"


async def _why_not_connected(url: str, proxies: Proxies) -> str:
    proxy = proxies.way_to(url)
    where = urlsplit(proxy.url if proxy else url)
    try:
        async with FairTimeout(CONNECT_S):
            _, writer = await asyncio.open_connection(where.hostname, where.port or PORTS.get(where.scheme, 80))
            writer.transport.abort()
    except TimeoutError:
        return f"it takes no connection within {CONNECT_S:g} s"
    except ConnectionRefusedError:
        return "connection refused"
    except OSError as error:
        return reason_of(error)
    return ""
