"""The agents of a chaos run that use tools: a script each, whose calls are known by their steps."""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stigmer_cli.api.agent_spec import ManifestSpec
from stigmer_cli.api.resources import AgentManifest, ManifestMetadata
from stigmer_cli.domain.step import Effect
from tests.chaos import tool_server

SERVER = Path(tool_server.__file__)
EFFECTS: Mapping[str, Effect] = {
    "read": Effect.NONE,
    "put": Effect.REPEATABLE,
    "send": Effect.ONCE,
    "refuse": Effect.ONCE,
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a tool with a text that no other call of the script has, and how long the answer takes."""

    tool: str
    text: str
    seconds: float = 0.0

    @property
    def effect(self) -> Effect:
        """What a second call would do."""
        return EFFECTS[self.tool]

    @property
    def answer(self) -> str:
        """What the tool says."""
        return f"{self.tool} {self.text}"


@dataclass(frozen=True, kw_only=True)
class ToolAgent:
    """An agent: the calls of each turn but the last, which says `end`. `is_command`: its server is a child process.

    `approve` and `limits` are those of its spec.
    """

    name: str
    turns: Sequence[Sequence[Call]]
    is_command: bool = False
    delay_s: float = 0.0
    approve: str = "never"
    limits: Mapping[str, int] | None = None

    @property
    def end(self) -> str:
        """The last answer, which is the output."""
        return f"{self.name} has done it."

    @property
    def calls(self) -> Mapping[str, Call]:
        """All calls by the key of their step, in the order in which steps of effect `once` are performed."""
        return {
            f"/turns/{number}/calls/{place}": call
            for number, calls in enumerate(self.turns)
            for place, call in enumerate(calls)
        }

    @property
    def guarded(self) -> Collection[str]:
        """The steps of the calls that wait for a person."""
        waits = {"always": frozenset(Effect), "once-effects": {Effect.ONCE}}.get(self.approve, frozenset())
        return {key for key, call in self.calls.items() if call.effect in waits}

    @property
    def steps(self) -> int:
        """How many steps an execution has that completes."""
        return len(self.turns) + 1 + len(self.calls)

    def manifest(self, folder: Path, ledger: Path, url: str) -> AgentManifest:
        """Write the script into `folder`; the agent has the server at `url`, or one of its own that uses `ledger`."""
        turns: list[dict[str, Any]] = [
            {
                "text": f"Turn {number}.",
                "delay": self.delay_s,
                "calls": [
                    {"tool": call.tool, "arguments": {"text": call.text, "seconds": call.seconds}} for call in calls
                ],
            }
            for number, calls in enumerate(self.turns)
        ]
        script = folder / f"{self.name}.yaml"
        script.write_text(yaml.safe_dump([*turns, {"text": self.end}]))
        command = [sys.executable, "-I", "-S", str(SERVER), str(ledger)]
        server = {"command": command} if self.is_command else {"url": url}
        spec: dict[str, Any] = {
            "model": f"script:{script}",
            "tools": [{"mcp": server, "approve": self.approve}],
            "limits": self.limits,
        }
        return AgentManifest(
            api_version="agentic.stigmer.ai/v1",
            kind="Agent",
            metadata=ManifestMetadata(name=self.name),
            spec=ManifestSpec.model_validate(spec),
        )


def _call(tool: str, text: str, seconds: float = 0.0) -> Call:
    return Call(tool=tool, text=text, seconds=seconds)


CLERK = ToolAgent(
    name="clerk",
    turns=[
        [_call("read", "a"), _call("put", "b"), _call("send", "c")],
        [_call("send", "d"), _call("read", "e")],
        [_call("put", "f"), _call("refuse", "g")],
        [_call("read", "h"), _call("send", "i")],
    ],
)
COURIER = ToolAgent(
    name="courier",
    turns=[[_call("read", "a"), _call("send", "b")], [_call("put", "c"), _call("send", "d")]],
    is_command=True,
)
DAWDLER = ToolAgent(
    name="dawdler", turns=[[_call("put", "a"), _call("send", "b", 0.8)], [_call("read", "c", 0.5)]], delay_s=0.1
)
"""Is nearly always in the middle of a call."""

GUARDED = ToolAgent(
    name="guarded",
    turns=[
        [_call("read", "a"), _call("send", "b"), _call("send", "c")],
        [_call("put", "d"), _call("send", "e", 0.3)],
    ],
    approve="once-effects",
)
"""Waits twice, the first time for two decisions."""

TOOL_AGENTS: Mapping[str, ToolAgent] = {agent.name: agent for agent in (CLERK, COURIER, DAWDLER, GUARDED)}
WEIGHTS: Mapping[str, float] = {CLERK.name: 0.8, COURIER.name: 0.08, DAWDLER.name: 0.12, GUARDED.name: 0.15}
"""How often each is asked; a child process a run costs more than all the rest of it."""
