"""What doctor finds out about tool servers: it starts them as the runner would, and asks for their tools."""

import sys
from pathlib import Path

import pytest

from stigmer_cli.api.agent_tools import McpBody
from stigmer_cli.clock import SystemClock
from stigmer_cli.doctor.facts import tool_servers
from stigmer_cli.doctor.facts.facts import ToolServerSeen
from stigmer_cli.doctor.facts.tool_servers import probe_tool_servers
from stigmer_cli.proxies import NO_PROXIES
from tests.support.temporal_server import free_port

ODD = str(Path(__file__).parents[2] / "support" / "odd_server.py")


def odd(*habits: str, **more: str) -> McpBody:
    return McpBody(command=[sys.executable, ODD, *habits], env=more)


async def probe(*servers: tuple[str, McpBody], **secrets: str) -> dict[str, str]:
    seen: tuple[ToolServerSeen, ...] = await probe_tool_servers(
        servers, NO_PROXIES, secrets=secrets, clock=SystemClock()
    )
    return {one.agent: one.why for one in seen}


async def test_each_server_is_started_once_and_what_is_wrong_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_servers, "LIST_S", 20.0)
    monkeypatch.setattr(tool_servers, "STARVED_S", 20.0)
    gone, port = tmp_path / "gone", free_port()
    found = await probe(
        ("well", odd()),
        ("same", odd()),
        ("folder", McpBody(command=["sh"], cwd=str(gone))),
        ("closed", McpBody(url=f"http://127.0.0.1:{port}/mcp")),
        ("crashes", odd("crash")),
        ("secret", odd("crash", KEY="Bearer ${secrets.KEY}")),
        ("missing", odd(KEY="${secrets.OTHER}")),
        KEY="hush-hush",
    )
    assert found == {
        "well": "",
        "folder": f"there is no folder {gone}",
        "closed": "connection refused",
        "crashes": "cannot be used: Connection closed; it said last: no configuration file",
        "secret": "cannot be used: Connection closed; it said last: no configuration file",
        "missing": "there is no secret OTHER: stigmer secrets set OTHER",
    }


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_servers, "LIST_S", 0.5)
    assert await probe(("a", odd("silent"))) == {"a": "has not listed its tools within 0.5s"}
