"""A server over HTTP by the protocol of 2026, which says that its list of tools has changed to who listens only."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stigmer_cli.api.agent_tools import McpBody, ToolServerBody
from stigmer_cli.clock import SystemClock
from stigmer_cli.tool_server.connection import ServerSettings, ToolServer
from stigmer_cli.tool_server.transport import load_library
from tests.support.polling import eventually
from tests.support.temporal_server import free_port

LEARNING = Path(__file__).parents[2] / "support" / "learning_server.py"


@pytest.fixture
def url() -> Iterator[str]:
    load_library()
    port = free_port()
    with subprocess.Popen([sys.executable, LEARNING, str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                assert process.poll() is None
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def open_server(url: str, *, notes_changes: bool) -> ToolServer:
    return ToolServer(
        ToolServerBody(mcp=McpBody(url=url)),
        ServerSettings(environ=os.environ, silent_s=10.0),
        lambda _line: None,
        clock=SystemClock(),
        notes_changes=notes_changes,
    )


async def test_a_change_of_the_list_is_noted_by_who_listens(url: str) -> None:
    async with open_server(url, notes_changes=True) as server, open_server(url, notes_changes=False) as other:
        [learn] = await server.list_tools()
        await other.list_tools()
        learned = ["learn"]

        async def notes() -> bool:
            learned.append(f"tool-{len(learned)}")
            await server.call(learn, {"name": learned[-1]}, key="key")
            await asyncio.sleep(0.05)
            return server.list_changes > 0

        await eventually(notes, within_s=10.0)
        assert [tool.name for tool in await server.list_tools()] == learned
        assert other.list_changes == 0
