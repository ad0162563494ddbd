"""Whether the tool servers of agents can be used: what their files and ports tell, and whether they list tools."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stigmer_cli.clock import Clock
from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.facts.facts import ToolServerSeen
from stigmer_cli.domain.secret import fill_references
from stigmer_cli.errors import StigmerError, reason_of
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.proxies import Proxies
from stigmer_cli.time_format import span

if TYPE_CHECKING:
    from stigmer_cli.api.agent_tools import McpBody

SERVERS_MAX = 20
AT_ONCE_MAX = 4
LIST_S = 3.0
"""How long a server may take to start and to list its tools, of the time in which doctor could work."""

STARVED_S = 6.0
"""The same by the clock."""

SETTING = "(STIGMER_TOOL_SILENT_FOR)"
"""Not what bounds it here."""

CONNECT_S = 1.0
PORTS = {"http": 80, "https": 443}


async def probe_tool_servers(
    servers: "Sequence[tuple[str, McpBody]]", proxies: Proxies, *, secrets: Mapping[str, str], clock: Clock
) -> tuple[ToolServerSeen, ...]:
    """What is wrong with the first `SERVERS_MAX` of `servers`, each with the name of an agent that has it.

    Those with nothing wrong in their files are started, or connected to, and asked for their tools. `secrets` are the
    values of what their variables and headers refer to.
    """
    probe = _Probe(proxies=proxies, secrets=secrets, clock=clock)
    different = {mcp.model_dump_json(): (agent, mcp) for agent, mcp in reversed(servers)}
    chosen = list(reversed(different.values()))[:SERVERS_MAX]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(probe.look_at(mcp), name=mcp.label) for _, mcp in chosen]
    return tuple(
        ToolServerSeen(agent=agent, label=mcp.label, why=task.result())
        for (agent, mcp), task in zip(chosen, tasks, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class _Probe:
    proxies: Proxies
    secrets: Mapping[str, str]
    clock: Clock
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE_MAX))

    async def look_at(self, mcp: "McpBody") -> str:
        """Why an agent cannot use the server; empty if it can."""
        if mcp.url is None:
            why = await in_thread(lambda: _why_not_started(mcp))
        else:
            why = await _why_not_connected(mcp.url, self.proxies)
        if why:
            return why
        async with self.room:
            return await self._ask(mcp)

    async def _ask(self, mcp: "McpBody") -> str:
        try:
            given = {
                "env": {name: fill_references(value, self.secrets) for name, value in mcp.env.items()},
                "headers": {name: fill_references(value, self.secrets) for name, value in mcp.headers.items()},
            }
        except KeyError as missing:
            return f"there is no secret {missing.args[0]}: stigmer secrets set {missing.args[0]}"
        from stigmer_cli.api.agent_tools import ToolServerBody  # noqa: PLC0415 - loaded by who read `mcp`
        from stigmer_cli.tool_server.connection import ServerSettings, ToolServer  # noqa: PLC0415 - for few, and slow
        from stigmer_cli.tool_server.transport import load_library  # noqa: PLC0415

        body = ToolServerBody(mcp=mcp.model_copy(update=given))
        await in_thread(load_library)
        environ = {"PATH": os.pathsep.join(os.get_exec_path()), "HOME": str(Path.home())}
        settings = ServerSettings(environ=environ, silent_s=STARVED_S, start_s=STARVED_S, proxies=self.proxies)
        try:
            async with ToolServer(body, settings, _ignore, clock=self.clock) as server, FairTimeout(LIST_S):
                await server.list_tools_at_once()
        except TimeoutError:
            return f"has not listed its tools within {span(LIST_S)}"
        except StigmerError as error:
            return error.message.removeprefix(f"its tool server {mcp.label} ").replace(SETTING, "").strip()
        return ""


def _ignore(_line: str) -> None:
    """What a server writes to its standard error is the runner's to log."""


def _why_not_started(mcp: "McpBody") -> str:
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
