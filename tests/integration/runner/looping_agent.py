"""An agent with tools, with a real server of them and scripted models."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from stigmer_cli.api.agent_tools import LoopSpec
from stigmer_cli.api.reports import FollowUpBody, GenerationsBody, Work
from stigmer_cli.api.sessions import ExchangeBody
from stigmer_cli.api.usage import UsedBody
from stigmer_cli.clock import SystemClock
from stigmer_cli.runner.agent.loop import AgentLoop
from stigmer_cli.runner.model.hosted import HostedModel
from stigmer_cli.runner.model.script import ScriptedModel
from stigmer_cli.tool_server.connection import ServerSettings
from tests.support.memory_journal import MemoryJournal

SERVER = Path(__file__).parents[2] / "support" / "ledger_server.py"
ODD = SERVER.with_name("odd_server.py")


class Agent:
    """A scripted agent with the ledger's tools, and what its executions did."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "script.yaml"
        self._ledger = folder / "ledger"
        self.journal = MemoryJournal()
        self.said = ""
        self.silent_s = 5.0

    def plays(self, *turns: dict[str, Any]) -> None:
        self._script.write_text(yaml.safe_dump(list(turns)))

    async def attempt(
        self,
        *,
        spec: dict[str, Any] | None = None,
        model: HostedModel | None = None,
        said: Sequence[ExchangeBody] = (),
        used: UsedBody | None = None,
        later: Sequence[FollowUpBody] = (),
        generations: GenerationsBody | None = None,
        **server: Any,
    ) -> str:
        """What one attempt answers; the journal goes on. With `spec` there is no server unless it names one."""
        self.said = ""
        command = [sys.executable, str(SERVER), str(self._ledger)]
        tools = [{"mcp": {"command": command}, **server}]
        work = Work(
            instructions="be brief",
            message="go",
            model="script:x",
            agent_name="a",
            conversation=list(said),
            used=used,
            follow_ups=list(later),
            generations=generations,
            spec=LoopSpec.model_validate({"tools": tools} if spec is None else spec),
        )
        clock = SystemClock()
        loop = AgentLoop(settings=ServerSettings(environ=os.environ, silent_s=self.silent_s, start_s=20.0), clock=clock)
        script = ScriptedModel(self._script, clock=clock)
        return await loop.run(work, model or script, self.journal, self._write, execution="aex-1")

    def _write(self, text: str) -> None:
        self.said += text

    def calls(self) -> list[tuple[str, object]]:
        return [(line["tool"], line["what"]) for line in self.lines()]

    async def has_called_twice(self) -> bool:
        return self._ledger.exists() and len(self.lines()) == 2

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._ledger.read_text().splitlines()]


def call(tool: str, **arguments: object) -> dict[str, Any]:
    return {"tool": tool, "arguments": arguments}
