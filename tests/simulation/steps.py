"""Executions with steps in virtual time: a loop that plays a fixed script by way of the real journal."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stigmer_cli.api.agent_tools import LoopSpec
from stigmer_cli.api.reports import Work
from stigmer_cli.domain.execution import AttentionCode, Execution
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import RECORDED, Effect, Step, StepKind, StepState
from stigmer_cli.runner import attempt as attempts
from stigmer_cli.runner.agent.broken import LoopBroken
from stigmer_cli.runner.agent.load import load_loop
from stigmer_cli.runner.contract import SENTENCES
from stigmer_cli.runner.journal import Journal, Json, StepCall
from stigmer_cli.runner.model.seam import ModelBusy
from tests.simulation.loop import QuickLoop

SPEC = LoopSpec()
"""Work that has a spec is performed step by step."""

SCRIPT: Sequence[Sequence[tuple[str, Effect]]] = (
    (("/turns/0", Effect.NONE),),
    (("/turns/0/calls/0", Effect.REPEATABLE), ("/turns/0/calls/1", Effect.NONE)),
    (("/turns/0/calls/2", Effect.ONCE),),
    (("/turns/1", Effect.NONE),),
    (("/turns/1/calls/0", Effect.ONCE),),
    (("/turns/2", Effect.NONE),),
)
"""The steps of an execution in order; those of one line are performed at the same time."""

EFFECTS: Mapping[str, Effect] = {key: effect for line in SCRIPT for key, effect in line}
BREAKS = 0.02
"""How often the connection to a model or a tool breaks off, before or after the effect."""

STEP_MARKS = frozenset({AttentionCode.EFFECT_UNKNOWN, AttentionCode.LOST})


@dataclass
class StepLedger:
    """How often each step of each execution took effect, and how often a person allowed more.

    `recorded` has the first attempt (epoch and number) that got a result; `wrong` are results that were not those of
    the step, and steps that were performed though they were recorded.
    """

    effects: Counter[tuple[str, str]] = field(default_factory=Counter)
    allowed: Counter[tuple[str, str]] = field(default_factory=Counter)
    recorded: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def forget(self, execution: str, key: str) -> None:
        """A person has it performed again."""
        self.allowed[(execution, key)] += 1
        self.recorded.pop((execution, key), None)


class SimLoop:
    """The loop of one attempt: performs SCRIPT, and breaks off now and then."""

    def __init__(self, **_settings: object) -> None:
        """Nothing of it is needed."""

    async def run(
        self, work: Work, model: "StepModel", journal: Journal, _write: Callable[[str], object], **_names: object
    ) -> str:
        """The output. Raises what the journal does, and LoopBroken."""
        return await model.play(work, journal)


class StepModel:
    """What performs the steps: each takes a while before and after its effect."""

    def __init__(self, ledger: StepLedger, rng: random.Random) -> None:
        self._ledger = ledger
        self._rng = rng

    async def play(self, work: Work, journal: Journal) -> str:
        """All steps of SCRIPT in order; the output names execution and epoch, as that of any simulated execution."""
        execution, epoch, _, number = work.message.split()
        attempt = (int(epoch), int(number))
        for line in SCRIPT:
            try:
                async with asyncio.TaskGroup() as group:
                    for key, effect in line:
                        group.create_task(self._perform(execution, attempt, key, effect, journal))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
        return f"{execution} {epoch}"

    async def _perform(
        self, execution: str, attempt: tuple[int, int], key: str, effect: Effect, journal: Journal
    ) -> None:
        kind = StepKind.TOOL if "calls" in key else StepKind.TURN
        step = StepCall(key=key, kind=kind, name="simulated", effect=effect, input={"key": key})
        result = await journal.perform(step, lambda: self._act(execution, attempt, key))
        self._ledger.recorded.setdefault((execution, key), attempt)
        if result not in (f"{execution} {key}", "skipped"):
            self._ledger.wrong.append(f"{key} of {execution} gave {result!r}")

    async def _act(self, execution: str, attempt: tuple[int, int], key: str) -> Json:
        if attempt > self._ledger.recorded.get((execution, key), attempt):
            self._ledger.wrong.append(f"{key} of {execution} is performed in {attempt} though it was recorded before")
        await asyncio.sleep(self._rng.uniform(0, 0.4))
        self._break_off()
        self._ledger.effects[(execution, key)] += 1
        await asyncio.sleep(self._rng.uniform(0, 0.4))
        self._break_off()
        return f"{execution} {key}"

    def _break_off(self) -> None:
        if self._rng.random() < BREAKS:
            raise LoopBroken(ModelBusy("it broke off"), broke_off=False, has_progressed=True)


async def _load_loop() -> Any:
    """The loop of the simulation where time is virtual."""
    return SimLoop if isinstance(asyncio.get_running_loop(), QuickLoop) else await load_loop()


attempts.load_loop = _load_loop  # type: ignore[attr-defined]


def wrong_steps(row: Execution, steps: Sequence[Step], ledger: StepLedger) -> Sequence[str]:
    """What is wrong with the journal of an execution that performs SCRIPT."""
    found = {step.key: step for step in steps}
    wrong: list[str] = []
    for key, effect in EFFECTS.items():
        wrong += _of_step(row.id, key, effect, found.get(key), ledger)
    is_undecided = any(step.state is StepState.UNKNOWN for step in steps)
    if row.phase is Phase.FAILED and is_undecided and row.error not in SENTENCES.values() and not _is_terminated(row):
        wrong.append(f"FAILED, and a person was to decide: {row.error}")
    if row.phase is Phase.COMPLETED:
        wrong += [f"COMPLETED, and {key} is not recorded" for key in EFFECTS if not _is_recorded(found.get(key))]
    if row.attention is not None and row.attention.code in STEP_MARKS:
        air = [step for step in steps if step.is_in_the_air]
        if len(air) != 1 or f"step {air[0].key} " not in row.attention.reason:
            wrong.append(f"in the air are {[step.key for step in air]}, and it waits because of {row.attention}")
    return wrong


def _is_terminated(row: Execution) -> bool:
    return "terminated" in (row.error or "")


def _is_recorded(step: Step | None) -> bool:
    return step is not None and step.state in RECORDED


def _of_step(execution: str, key: str, effect: Effect, step: Step | None, ledger: StepLedger) -> Sequence[str]:
    count, allowed = ledger.effects[(execution, key)], ledger.allowed[(execution, key)]
    wrong = []
    if effect is Effect.ONCE and count > 1 + allowed:
        wrong.append(f"{key} (once) took effect {count} times, and a person allowed {1 + allowed}")
    if effect is not Effect.NONE and count and step is None:
        wrong.append(f"{key} ({effect}) took effect, and is not in the journal")
    if step is not None and step.state is StepState.DONE and not count:
        wrong.append(f"{key} is DONE, and took no effect")
    if step is not None and step.state is StepState.UNKNOWN and effect is not Effect.ONCE:
        wrong.append(f"{key} ({effect}) is UNKNOWN")
    return wrong
