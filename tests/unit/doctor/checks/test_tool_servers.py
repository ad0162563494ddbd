"""The check of tool servers, and where it looks for their programs."""

import sys
from pathlib import Path

import pytest

from stigmer_cli.api.agent_tools import McpBody
from stigmer_cli.doctor.checks import configuration
from stigmer_cli.doctor.facts.facts import ToolServerSeen
from stigmer_cli.doctor.facts.tool_servers import _why_not_started
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
    assert brief(await configuration.tool_servers(healthy(tool_servers=seen[1:])))[1] == "1 lists its tools"


COMMANDS = {
    "there-is-no-such-program": "there is no program there-is-no-such-program",
    sys.executable: "",
    "./serve": "",
    "./gone": "there is no program ./gone",
    "sh": "",
}


@pytest.mark.parametrize("program", COMMANDS)
def test_a_command_is_looked_for_where_it_would_start(program: str, tmp_path: Path) -> None:
    (tmp_path / "serve").touch(mode=0o755)
    assert _why_not_started(McpBody(command=[program], cwd=str(tmp_path))) == COMMANDS[program]
