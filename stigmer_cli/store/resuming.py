"""Having an execution go on because a person says so: after a failure, or past what only a person can decide about.

row                                      a step is in the air    what becomes of it
FAILED                                   no                      resumed: the turn or task that failed last is forgotten
IN_PROGRESS and marked for a person      no                      resumed
the same two                             yes, and not decided    undecided: nothing is written
marked as journal-mismatch               (--from is not given)   undecided: the same step would not fit again
IN_PROGRESS and paused                   no                      resumed
IN_PROGRESS and waiting for an approval  (--from is not given)   undecided: approve or deny the call
any other that is open                   -                       open: it runs, waits, or is the reconciler's
COMPLETED, CANCELLED                     -                       ended

A call of a tool that failed may have had its effect, and the model was told of it: only `--repeat` or `--from` has it
performed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import RowMapping, bindparam, select

from stigmer_cli.api.resume import ResumeOutcome
from stigmer_cli.domain.execution import AttentionCode
from stigmer_cli.domain.identity import ExecutionId, StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import RECORDED, Step, StepKind, StepState
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import Conflict
from stigmer_cli.store import transitions
from stigmer_cli.store.agent_versions import renew_pin
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.decisions import forget_decision
from stigmer_cli.store.step_rows import find_step, forget, read_journal, write_skipped
from stigmer_cli.store.tables import IN_THE_AIR, steps

_ALL_IN_THE_AIR = select(steps.c.execution_id, steps.c.seq).where(
    steps.c.execution_id.in_(bindparam("ids", expanding=True)), IN_THE_AIR
)


async def forget_in_the_air(writing: Writing, ids: Sequence[ExecutionId]) -> None:
    """Forget the steps of `ids` that are in the air: a person has said that they may be performed again."""
    if not ids:
        return
    found = await writing.connection.execute(_ALL_IN_THE_AIR, {"ids": list(ids)})
    for id_, seq in found.all():
        await forget(writing, id_, seq)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person has decided about steps, by key.

    `repeat`: forget this step, so that it is performed again. `skip`: go on as if it had returned `result` (JSON text).
    `forget_from`: forget this step and all that began after it. `limits` count from now on; None: no more.
    """

    repeat: str | None = None
    skip: str | None = None
    result: str = "null"
    forget_from: str | None = None
    limits: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What came of it, in which phase the execution is now (None: there is none), and why, where it did not go on."""

    outcome: ResumeOutcome
    phase: Phase | None
    reason: str = ""


_A = {wait_for: f"{'an' if wait_for[0] in 'aeiou' else 'a'} {wait_for}" for wait_for in WaitFor}


class ResumeTable:
    """Goes on with executions on a person's word, each in one commit."""

    def __init__(self, database: Database, store: StoreId) -> None:
        self._database = database
        self._store = store

    @whole
    async def resume(self, execution_id: ExecutionId, decision: Decision, *, is_dry_run: bool = False) -> Resumed:
        """Put it into the queue in the next epoch, with what `decision` leaves of its journal.

        Raises NotFound for a step that is not there, and Conflict for one about which there is nothing to decide so.
        """
        async with self._database.writing() as writing:
            row = await writing.lock_row(execution_id)
            refused = _refuse(row, decision)
            if refused is not None or row is None:
                return refused or Resumed(outcome=ResumeOutcome.MISSING, phase=None)
            journal = await read_journal(writing, execution_id)
            forgotten = _choose_forgotten(execution_id, journal, decision, row)
            skipped = find_step(execution_id, journal, decision.skip) if decision.skip else None
            decided = {step.seq for step in (*forgotten, *([skipped] if skipped else []))}
            reason = _find_undecided(row, journal, decided, decision)
            if reason:
                return Resumed(outcome=ResumeOutcome.UNDECIDED, phase=Phase(row["phase"]), reason=reason)
            if is_dry_run:
                return Resumed(outcome=ResumeOutcome.RESUMED, phase=Phase(row["phase"]))
            for step in forgotten:
                await forget(writing, execution_id, step.seq)
                if decision.forget_from:  # else what a person said about it still holds
                    await forget_decision(writing, execution_id, step.key)
            if skipped is not None:
                await write_skipped(writing, execution_id, skipped.seq, decision.result)
            asked = transitions.resume_asked(self._store, epoch=row["epoch"], now=writing.now)
            renewed = {**asked.values, **await renew_pin(writing, execution_id, decision.limits)}
            await writing.change(execution_id, replace(asked, values=renewed))
            return Resumed(outcome=ResumeOutcome.RESUMED, phase=Phase.PENDING)


def _refuse(row: RowMapping | None, decision: Decision) -> Resumed | None:
    """Why an execution cannot be resumed, whatever its journal says; None if it can."""
    if row is None:
        return Resumed(outcome=ResumeOutcome.MISSING, phase=None)
    phase = Phase(row["phase"])
    if phase in (Phase.COMPLETED, Phase.CANCELLED):
        return Resumed(outcome=ResumeOutcome.ENDED, phase=phase, reason=f"it is {phase}")
    if row["waiting_for"] is not None:
        return _refuse_waiting(row, decision)
    if phase is Phase.PENDING or (phase is Phase.IN_PROGRESS and row["attention_code"] is None):
        return Resumed(outcome=ResumeOutcome.OPEN, phase=phase, reason=f"it is {phase}, and waits for no decision")
    return None


def _refuse_waiting(row: RowMapping, decision: Decision) -> Resumed | None:
    """Why one that waits cannot be resumed; None if it is paused, or is to go on from an earlier step."""
    wait_for, phase = WaitFor(row["waiting_for"]), Phase(row["phase"])
    if wait_for.is_pause or decision.forget_from:
        return None
    if wait_for is WaitFor.APPROVAL:
        reason = f"it waits for your decision: stigmer executions approve {row['id']}, or deny {row['id']}"
        return Resumed(outcome=ResumeOutcome.UNDECIDED, phase=phase, reason=reason)
    return Resumed(
        outcome=ResumeOutcome.OPEN, phase=phase, reason=f"it waits for {_A[wait_for]}, and goes on by itself"
    )


def _choose_forgotten(id_: ExecutionId, journal: Sequence[Step], decision: Decision, row: RowMapping) -> Sequence[Step]:
    """The steps that are to be performed again. Raises NotFound or Conflict."""
    for key in (decision.repeat, decision.skip):
        step = find_step(id_, journal, key) if key else None
        if step is not None and step.state in RECORDED - {StepState.FAILED}:
            raise Conflict(
                f"step {step.key} of {id_} is {step.state}: its result is recorded",
                hint=f"stigmer executions resume {id_} --from {step.key} forgets it, and what began after it",
            )
    if decision.forget_from:
        first = find_step(id_, journal, decision.forget_from)
        return [step for step in journal if step.seq >= first.seq]
    if decision.repeat:
        return [find_step(id_, journal, decision.repeat)]
    if row["phase"] != Phase.FAILED or not journal:
        return []
    last = journal[-1]
    ended_it = last.state is StepState.FAILED and last.kind is not StepKind.TOOL and last.key != decision.skip
    return [last] if ended_it else []


def _find_undecided(row: RowMapping, journal: Sequence[Step], decided: set[int], decision: Decision) -> str:
    """What a person has still to decide, as a sentence; empty if nothing.

    Of several steps in the air, in branches, a person decides about one at a time: the next attempt goes on until it
    comes to another one, and waits for a person again.
    """
    id_ = row["id"]
    is_about_one = bool(decision.repeat or decision.skip)
    left = next((step for step in journal if step.is_in_the_air and step.seq not in decided), None)
    if left is not None and not is_about_one:
        return (
            f"nothing says whether step {left.key} ({left.kind} {left.name}) took effect: resume {id_} with --repeat"
            f" {left.key} or --skip {left.key}"
        )
    if row["attention_code"] == AttentionCode.JOURNAL_MISMATCH and not decided:
        return f"a recorded step does not fit any more: resume {id_} with --from STEP, or run it again"
    return ""
