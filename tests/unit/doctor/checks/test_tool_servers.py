"""The check of tool servers, and what it looks at: programs, folders and ports, none of which it starts."""

import asyncio
import sys
from pathlib import Path

import pytest

from stigmer_cli.api.agent_tools import McpBody
from stigmer_cli.doctor.checks import configuration
from stigmer_cli.doctor.facts.facts import ToolServerSeen
from stigmer_cli.doctor.facts.tool_servers import probe_tool_servers
from stigmer_cli.proxies import NO_PROXIES
from tests.support.temporal_server import free_port
from tests.unit.doctor.facts_builder import brief, healthy


async def test_no_agent_has_tools() -> None:
    assert brief(await configuration.tool_servers(healthy())) == ("pass", "no agent has tools", "")


async def test_a_server_that_is_not_there_is_a_warning_with_its_agent() -> None:
    seen = (
        ToolServerSeen(agent="clerk", label="npx -y server", why="there is no program npx"),
        ToolServerSeen(agent="clerk", label="serve"),
    )
    assert brief(await configuration.tool_servers(healthy(tool_servers=seen))) == (
        "warn",
        "agents cannot use npx -y server: there is no program npx",
        "stigmer agents get clerk",
    )
    assert brief(await configuration.tool_servers(healthy(tool_servers=seen[1:])))[1] == "1 in place"


COMMANDS = {
    "there-is-no-such-program": "there is no program there-is-no-such-program",
    sys.executable: "",
    "./serve": "",
    "./gone": "there is no program ./gone",
    "sh": "",
}


@pytest.mark.parametrize("program", COMMANDS)
async def test_a_command_is_looked_for_where_it_would_start(program: str, tmp_path: Path) -> None:
    (tmp_path / "serve").touch(mode=0o755)
    [seen] = await probe_tool_servers([("a", McpBody(command=[program], cwd=str(tmp_path)))], NO_PROXIES)
    assert seen.why == COMMANDS[program]


async def test_a_folder_that_is_gone_and_a_port_that_is_closed_are_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        seen = await probe_tool_servers(
            [
                ("a", McpBody(command=["sh"], cwd=str(gone))),
                ("b", McpBody(url=f"http://127.0.0.1:{port}/mcp")),
                ("c", McpBody(url=f"http://127.0.0.1:{free_port()}/mcp")),
            ],
            NO_PROXIES,
        )
    assert [one.why for one in seen] == [f"there is no folder {gone}", "", "connection refused"]
