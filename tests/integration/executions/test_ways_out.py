"""No dead ends: whatever row stands beside whatever Temporal, a printed command brings it on, and a cancel ends it."""

import asyncio
import itertools
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest

from stigmer_cli.api.resume import ResumeOutcome
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import AgentSpec, AttentionCode, Execution
from stigmer_cli.domain.identity import AgentId, RunId
from stigmer_cli.domain.step import Effect, StepKind
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.executions.canceller import PATIENCE_S, Canceller
from stigmer_cli.executions.reconcile.observe import observe
from stigmer_cli.executions.reconcile.on_request import ReconcileJob
from stigmer_cli.executions.reconcile.scan import ReconcileScope
from stigmer_cli.judgement.plan import Rules, plan
from stigmer_cli.judgement.stuck import StuckContext, judge
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.step_rows import StepDraft
from stigmer_cli.store.store import open_store
from stigmer_cli.temporal.gateway import RunState
from tests.integration.executions.reconcile_harness import Case, Race, ReconcileHarness, Standing

MEMORY = Path("/dev/shm")


class AheadClock(SystemClock):
    """The machine's clocks, `ahead_s` later."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


def every_case() -> Iterator[Case]:
    """Every row beside every Temporal; what was never submitted has nothing beside it."""
    states: tuple[RunState | None, ...] = (None, *RunState)
    for standing, state, another, mark, unwanted, trouble, in_the_air in product(
        Standing, states, (False, True), (None, *AttentionCode), (False, True), (None, "unreachable"), (False, True)
    ):
        if trouble and (in_the_air or mark not in {None, AttentionCode.LOST}):
            continue
        if in_the_air and (standing is not Standing.CLAIMED or not (state is None or another)):
            continue
        is_submitted = standing in {Standing.SUBMITTED, Standing.CLAIMED}
        if (state is None and another) or (not is_submitted and (state or mark or trouble)):
            continue
        yield Case(
            standing=standing,
            epoch=1,
            state=state,
            is_another_run=another,
            is_in_the_air=in_the_air,
            trouble=trouble,
            mark=mark,
            is_unwanted=unwanted,
            race=Race.NOTHING,
        )


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as found:
        yield found


@pytest.fixture(scope="module")
def harness(runner: asyncio.Runner) -> Iterator[ReconcileHarness]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        store = runner.run(open_store(f"sqlite:///{folder}/stigmer.db", clock=SystemClock()))
        draft = AgentDraft(
            id=AgentId("agt-01kqrxnp6m8w8t6e3d2m5k7j9z"), name="greeter", slug="greeter", spec=AgentSpec()
        )
        runner.run(store.agents.apply([draft]))
        yield ReconcileHarness(store)
        runner.run(store.close())


@dataclass(frozen=True)
class Printed:
    """A command that a person is told to type for one execution."""

    kind: StuckClass
    commands: Sequence[str]
    chosen: int = 0

    @property
    def command(self) -> str:
        """The one of the alternatives that is typed."""
        return self.commands[self.chosen % len(self.commands)]

    @property
    def rules(self) -> Rules:
        """What `stigmer executions reconcile ID` with its flags asks for: naming an id retries what was refused."""
        return Rules(grace_s=0, include_in_progress="--include-in-progress" in self.command, retry_refused=True)


async def printed(harness: ReconcileHarness, row: Execution) -> Printed | None:
    """What is printed for it; None where it gets on."""
    [observation] = await observe([row], harness.gateway, harness.link, harness.store.progress)
    now = SystemClock().now()
    [move] = plan([observation], now=now, rules=Rules(grace_s=0))
    found = judge(observation, move, StuckContext(now=now, is_polled=True, untaken_s=60))
    if found is None:
        return None
    commands = re.sub(r" \(.*\)$", "", found.hint).split(", or ")
    # `rerun` begins another execution, and leaves this one to the command beside it.
    return Printed(found.kind, [command for command in commands if not command.startswith("stigmer executions rerun")])


async def type_it(harness: ReconcileHarness, row: Execution, told: Printed) -> None:
    """Carry out a printed reconcile or cancel, and let the dispatcher do its work."""
    if told.command.startswith("stigmer executions cancel"):
        await _cancel(harness, row)
        return
    if resume := re.fullmatch(f"stigmer executions resume {row.id} --(repeat|skip) (/.*)", told.command):
        await _begin_step(harness, row, resume[2])
        harness.in_the_air.discard(row.id)
        async with harness.dispatching():
            decided = Decision(repeat=resume[2]) if resume[1] == "repeat" else Decision(skip=resume[2])
            resumed = await harness.store.resuming.resume(row.id, decided)
            assert resumed.outcome is ResumeOutcome.RESUMED, resumed
            await harness.until_drained()
        return
    scope = ReconcileScope(ids=[row.id])
    wanted = ReconcileJob(scope=scope, rules=told.rules, is_dry_run=False, asked_by="a test")
    async with harness.dispatching():
        async for _ in harness.reconciling.run(wanted):
            pass


async def _begin_step(harness: ReconcileHarness, row: Execution, key: str) -> None:
    """Have a step be in the air that harness and judge take for one: resuming reads the journal itself."""
    draft = StepDraft(
        key=key, kind=StepKind.TOOL, name="send", effect=Effect.ONCE, nonce="0123456789abcdef", input_hash="h"
    )
    run = RunId(row.claimed_run or "")
    await harness.store.steps.begin(row.id, epoch=row.epoch, run=run, attempt=row.claimed_attempt, draft=draft)


async def brought_on(harness: ReconcileHarness, row: Execution) -> bool:
    """Whether it has ended, or has an open workflow in Temporal that it may be claimed by or was claimed by."""
    now = await harness.store.executions.get(row.id)
    if now.phase.is_terminal:
        return True
    run = harness.gateway.runs.get(now.workflow.id)
    is_open = run is not None and run.state in (RunState.OPEN, RunState.CONTINUED)
    return is_open and run is not None and now.claimed_run in (None, run.run_id) and now.attention is None


async def _is_no_dead_end(harness: ReconcileHarness, case: Case, chosen: int) -> str:
    row = await harness.put(case)
    if row.phase.is_terminal:
        return "ended"
    told = await printed(harness, row)
    if case.trouble:
        assert told is None or told.command, "while Temporal cannot be asked, doctor says what to wait for"
        harness.gateway.troubles.clear()  # and when it can be asked again ...
        told = await printed(harness, await harness.store.executions.get(row.id))
    if told is None:
        if not await brought_on(harness, row):
            async with harness.dispatching():  # what is queued goes out by itself
                await harness.until_drained()
        assert await brought_on(harness, row), "nothing is printed for it, and it does not get on"
        return "gets on"
    told = replace(told, chosen=chosen)
    if told.kind is StuckClass.QUEUED:
        async with harness.dispatching():
            await harness.until_drained()
    elif told.kind not in {StuckClass.STARTING_LATE, StuckClass.WAITING_FOR_RUNNER}:
        assert told.command.startswith(
            tuple(f"stigmer executions {verb} {row.id}" for verb in ("reconcile", "cancel", "resume"))
        )
        await type_it(harness, row, told)
        if case.is_unwanted and not await brought_on(harness, row):
            await _cancel(harness, row)  # what is to end and is still open is the canceller's, whatever is typed
    assert await brought_on(harness, row), f"{told} leaves it where it was"
    return told.kind


def _has_choice(case: Case) -> bool:
    """Whether several commands are printed for it, that differ from those of the cases beside it."""
    is_left = case.is_in_the_air and case.state is None and not case.is_unwanted
    return is_left and case.mark in {AttentionCode.LOST, AttentionCode.EFFECT_UNKNOWN} and not case.trouble


async def _ends_when_cancelled(harness: ReconcileHarness, case: Case) -> None:
    row = await harness.put(replace(case, is_unwanted=False))
    await _cancel(harness, row)
    assert (await harness.store.executions.get(row.id)).phase.is_terminal, "a cancel always ends it"


def _stride(config: pytest.Config) -> int:
    return 1 if config.getoption("--slow") else 2


async def _cancel(harness: ReconcileHarness, row: Execution) -> None:
    """Carry out `stigmer executions cancel ID`, and let its patience go by."""
    clock = AheadClock()
    canceller = Canceller(harness.store, harness.gateway, harness.link, clock=clock)
    await harness.store.executions.request_cancel(row.id)
    await canceller.run_once()
    clock.ahead_s = PATIENCE_S + 1
    await canceller.run_once()


def test_over_every_row_and_every_temporal_a_printed_command_brings_it_on(
    harness: ReconcileHarness, runner: asyncio.Runner, pytestconfig: pytest.Config
) -> None:
    """Each second of them, unless `--slow` is given."""
    met: set[str] = set()
    typed = ((case, chosen) for case in every_case() for chosen in range(3 if _has_choice(case) else 1))
    for case, chosen in itertools.islice(typed, 0, None, _stride(pytestconfig)):
        try:
            met.add(runner.run(_is_no_dead_end(harness, case, chosen)))
        except AssertionError as error:
            raise AssertionError(f"{case}, command {chosen}: {error}") from error
        finally:
            runner.run(harness.end_all())
    assert met >= {
        "ended",
        "gets on",
        "queued",
        "orphan",
        "behind",
        "interrupted",
        "lost",
        "refused",
        "result-unknown",
        *AttentionCode,
    }


def test_over_every_row_and_every_temporal_a_cancel_ends_it_within_its_patience(
    harness: ReconcileHarness, runner: asyncio.Runner, pytestconfig: pytest.Config
) -> None:
    """Each second of them, unless `--slow` is given."""
    for case in itertools.islice(every_case(), 0, None, _stride(pytestconfig)):
        try:
            runner.run(_ends_when_cancelled(harness, case))
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error
        finally:
            runner.run(harness.end_all())
