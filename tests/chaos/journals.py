"""The rules for journals: what is recorded of the steps of an execution, against the ledger of what its tools did."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.steps import StepContentsBody
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import AttentionCode
from stigmer_cli.domain.idempotency import idempotency_key
from stigmer_cli.domain.step import RECORDED, Effect, StepState
from stigmer_cli.domain.waiting import Verdict
from tests.chaos.tool_agents import Call, ToolAgent
from tests.chaos.workflow_documents import ChaosWorkflow

DENIED = "a person denied this call"
IN_THE_AIR = frozenset({StepState.BEGUN, StepState.UNKNOWN})


@dataclass(frozen=True, kw_only=True)
class EffectLine:
    """A call reached its tool: which, with which text, under which idempotency key, and when in seconds since 1970."""

    tool: str
    text: str
    key: str
    at_s: float


Performer: TypeAlias = ToolAgent | ChaosWorkflow
"""What an execution performs, where its calls are known."""

Effects = Mapping[str, Sequence[EffectLine]]
"""The lines of the ledger by idempotency key."""


def read_effects(path: Path) -> Effects:
    """All lines, in the order in which they were appended."""
    found: dict[str, list[EffectLine]] = {}
    if path.exists():
        for text in path.read_text().splitlines():
            line = EffectLine(**json.loads(text))
            found.setdefault(line.key, []).append(line)
    return found


def effects_of_nobody(effects: Effects, executions: Iterable[tuple[str, Performer]]) -> Sequence[EffectLine]:
    """The lines whose key is that of no call of `executions`."""
    known = {idempotency_key(execution, key) for execution, agent in executions for key in agent.calls}
    return [line for key in effects.keys() - known for line in effects[key]]


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The steps of an execution, those that are recorded with their results, and what its calls did.

    `decisions` are what a person was asked about its calls, by step.
    """

    execution: str
    agent: Performer
    steps: Mapping[str, StepContentsBody]
    results: Mapping[str, str | None]
    effects: Effects
    decisions: Mapping[str, DecisionBody] = field(default_factory=dict)

    def lines(self, key: str) -> Sequence[EffectLine]:
        """What the call at `key` did."""
        return self.effects.get(idempotency_key(self.execution, key), ())

    @property
    def in_the_air(self) -> Sequence[StepContentsBody]:
        """The steps about which only a person can decide."""
        return [step for step in self.steps.values() if step.effect is Effect.ONCE and step.state in IN_THE_AIR]


async def read_journal(client: Client, execution: str, agent: Performer, effects: Effects) -> Journal:
    """The journal as the server has it now."""
    steps = (await client.steps(execution)).items
    recorded = (await client.steps(execution, has_results=True)).items
    is_guarded = isinstance(agent, ToolAgent) and bool(agent.guarded)
    decisions = await client.decisions(execution) if is_guarded else ()
    return Journal(
        execution=execution,
        agent=agent,
        steps={step.key: step for step in steps},
        results={step.key: step.result for step in recorded},
        effects=effects,
        decisions={decision.step: decision for decision in decisions},
    )


def count_states(journal: Journal) -> Counter[str]:
    """How many steps there are, by effect and state."""
    return Counter(f"{step.effect} {step.state}" for step in journal.steps.values())


def wrong_journal(journal: Journal, *, is_completed: bool, repeated: Collection[str] = ()) -> str:
    """What is wrong with that of an agent; empty if nothing is.

    `repeated` are the steps that a person had performed again.
    """
    assert isinstance(journal.agent, ToolAgent)
    turns = [f"/turns/{number}" for number in range(len(journal.agent.turns) + 1)]
    if strangers := journal.steps.keys() - journal.agent.calls.keys() - set(turns):
        return f"steps of no call: {sorted(strangers)}"
    wrong = (_wrong_call(journal, key, call, repeated) for key, call in journal.agent.calls.items())
    found = next((words for words in wrong if words), "") or _wrong_order(journal)
    if found or not is_completed:
        return found
    missing = [key for key in (*turns, *journal.agent.calls) if key not in journal.results]
    return f"it is COMPLETED, and these steps are not recorded: {missing}" if missing else ""


def _wrong_call(journal: Journal, key: str, call: Call, repeated: Collection[str]) -> str:
    lines = journal.lines(key)
    if others := [line for line in lines if (line.tool, line.text) != (call.tool, call.text)]:
        return f"under the key of {key} came another call: {others}"
    if call.effect is Effect.ONCE and len(lines) > 1 + (key in repeated):
        return f"{key} ({call.tool}, once) took effect {len(lines)} times"
    step = journal.steps.get(key)
    verdict = _find_verdict(journal, key)
    if verdict is not Verdict.APPROVED and lines:
        return f"{key} ({call.tool}) took effect, and it was {verdict or 'never approved'}"
    if step is not None:
        return _wrong_denied(step, call) if verdict is Verdict.DENIED else _wrong_step(journal, step, call, verdict)
    return f"{key} ({call.tool}, {call.effect}) took effect, and never began" if lines and _begins(call) else ""


def _find_verdict(journal: Journal, key: str) -> Verdict | None:
    """What a person decided about the call; a call that needs no decision counts as approved."""
    assert isinstance(journal.agent, ToolAgent)
    if key not in journal.agent.guarded:
        return Verdict.APPROVED
    return journal.decisions[key].verdict if key in journal.decisions else None


def _wrong_denied(step: StepContentsBody, call: Call) -> str:
    """What is wrong with the step of a call that was denied; its effect is none, so that it may be recorded twice."""
    if (step.name, step.effect) != (call.tool, Effect.NONE):
        return f"{step.key} was denied, and is {step.name} ({step.effect})"
    if step.state is StepState.BEGUN or (step.state is StepState.FAILED and DENIED in (step.error or "")):
        return ""
    return f"{step.key} was denied, and is {step.state}: {step.error}"


def _wrong_step(journal: Journal, step: StepContentsBody, call: Call, verdict: Verdict | None) -> str:
    key, result = step.key, journal.results.get(step.key)
    if (step.name, step.effect) != (call.tool, call.effect):
        return f"{key} is {step.name} ({step.effect}), not {call.tool} ({call.effect})"
    if verdict is None:
        return f"{key} is {step.state}, and nobody had approved it"
    if step.state is StepState.DONE and not journal.lines(key):
        return f"{key} is DONE, and took no effect"
    if step.state is StepState.DONE and call.answer not in (result or ""):
        return f"{key} is DONE with the result of another call: {result}"
    if step.state is StepState.FAILED:
        return f"{key} is FAILED: {step.error}"
    if step.state is StepState.UNKNOWN and call.effect is not Effect.ONCE:
        return f"{key} is UNKNOWN, and its effect is {call.effect}"
    return ""


def _begins(call: Call) -> bool:
    """Whether it is written down before it is performed."""
    return call.effect is not Effect.NONE


def _wrong_order(journal: Journal) -> str:
    """Steps are performed turn by turn, and calls of effect `once` one after the other."""
    assert isinstance(journal.agent, ToolAgent)
    unrecorded = ""
    for key, call in journal.agent.calls.items():
        step = journal.steps.get(key)
        if call.effect is Effect.ONCE:
            if step is not None and unrecorded:
                return f"{key} began before {unrecorded} was recorded"
            if step is None or step.state not in RECORDED:
                unrecorded = unrecorded or key
    return ""


def wrong_mark(journal: Journal, code: AttentionCode, reason: str) -> str:
    """What is wrong with an execution that waits for a person because of a step; empty if nothing is."""
    if code is AttentionCode.JOURNAL_MISMATCH:
        return "its input never changed"
    air = journal.in_the_air
    if len(air) != 1:
        return f"{len(air)} steps are in the air: {[step.key for step in air]}"
    (step,) = air
    if code is AttentionCode.EFFECT_UNKNOWN and step.state is not StepState.UNKNOWN:
        return f"{step.key} is {step.state}"
    named = (f"step {step.key} ({step.kind} {step.name})", step.runner or "?")
    if missing := [words for words in named if words not in reason]:
        return f"it does not name {missing}"
    return ""
