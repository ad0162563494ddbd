"""A server of tools that nobody here wrote: `mcp-server-git`, whose calls change a repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stigmer_cli.api.agent_tools import McpBody, ToolServerBody
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.step import Effect
from stigmer_cli.tool_server.connection import ServerSettings, ToolServer
from stigmer_cli.tool_server.transport import load_library

COMMAND = [sys.executable, "-m", "mcp_server_git"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for arguments in (["init", "-q"], ["config", "user.name", "a"], ["config", "user.email", "a@example.com"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    (tmp_path / "notes").write_text("hello")
    return tmp_path


async def test_a_repository_is_changed_once_and_read(repository: Path) -> None:
    load_library()
    settings = ServerSettings(environ=os.environ, silent_s=20.0)
    said: list[str] = []
    async with ToolServer(
        ToolServerBody(mcp=McpBody(command=COMMAND)), settings, said.append, clock=SystemClock()
    ) as git:
        tools = {tool.name: tool for tool in await git.list_tools()}
        effects = [tools[name].effect for name in ("git_log", "git_add", "git_commit")]
        assert effects == [Effect.NONE, Effect.REPEATABLE, Effect.ONCE]
        where = {"repo_path": str(repository)}
        await git.call(tools["git_add"], {**where, "files": ["notes"]}, key="k1")
        committed = (await git.call(tools["git_commit"], {**where, "message": "one"}, key="k2")).wire
        assert committed["isError"] is False, committed
        assert "one" in str((await git.call(tools["git_log"], where, key="k3")).wire["content"])
        failed = (await git.call(tools["git_log"], {"repo_path": str(repository / "gone")}, key="k4")).wire
        assert failed["isError"] is True
