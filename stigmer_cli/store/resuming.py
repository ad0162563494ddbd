"""Having an execution go on because a person says so: after a failure, or past what only a person can decide about.

row                                      a step is in the air    what becomes of it
FAILED                                   no                      resumed: the turn or task that failed it is forgotten
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
from stigmer_cli.domain.identity import ExecutionId, Kind, StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import RECORDED, Step, StepKind, StepState
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import Conflict
from stigmer_cli.store import transitions
from stigmer_cli.store.agent_versions import renew_pin
from stigmer_cli.store.call_generations import renew_generations
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.decisions import forget_decision
from stigmer_cli.store.resumed_workflows import (
    detach,
    find_child,
    find_culprit,
    has_read,
    is_cut_off,
    list_cancelled,
    list_children_but,
    list_decisions,
    lock_parent,
    read_error,
    release,
    start_others,
)
from stigmer_cli.store.step_rows import find_step, forget, read_journal, write_skipped
from stigmer_cli.store.tables import IN_THE_AIR, steps
from stigmer_cli.store.task_rows import forget_tasks
from stigmer_cli.store.time_limits import describe_limits, find_expired, is_left_by, list_limits
from stigmer_cli.store.timers import forget_timers

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
    """What came of it, in which phase the execution is now (None: there is none), and why, where it did not go on.

    `along` are the executions that go on with it: one that it waits for, and those that wait for it.
    """

    outcome: ResumeOutcome
    phase: Phase | None
    reason: str = ""
    along: tuple[ExecutionId, ...] = ()


_A = {wait_for: f"{'an' if wait_for[0] in 'aeiou' else 'a'} {wait_for}" for wait_for in WaitFor}


class ResumeTable:
    """Goes on with executions on a person's word, each in one commit."""

    def __init__(self, database: Database, store: StoreId) -> None:
        self._database = database
        self._store = store

    @whole
    async def resume(self, execution_id: ExecutionId, decision: Decision, *, is_dry_run: bool = False) -> Resumed:
        """Put it into the queue in the next epoch, with what `decision` leaves of its journal.

        `is_dry_run`: do the same and take it back. Raises NotFound for a step that is not there, and Conflict for one
        about which there is nothing to decide so.
        """

        async def write(writing: Writing) -> Resumed:
            found = await _resume(writing, self._store, execution_id, decision)
            if found.outcome is not ResumeOutcome.RESUMED:
                return found
            found = await _resume_parent(writing, self._store, execution_id, found)
            if is_dry_run or found.outcome is not ResumeOutcome.RESUMED:
                raise _TakenBack(found)
            return replace(found, phase=Phase.PENDING)

        try:
            return await self._database.write(write)
        except _TakenBack as taken:
            return taken.found


class _TakenBack(Exception):
    """Nothing of the transaction is written, and `found` is the answer."""

    def __init__(self, found: Resumed) -> None:
        super().__init__(found.reason)
        self.found = found


async def _resume(writing: Writing, store: StoreId, id_: ExecutionId, decision: Decision) -> Resumed:
    """As `ResumeTable.resume`, of one execution and those that it waits for. The phase is that before."""
    row = await writing.lock_row(id_)
    refused = _refuse(row, decision)
    if refused is not None or row is None:
        return refused or Resumed(outcome=ResumeOutcome.MISSING, phase=None)
    phase, journal = Phase(row["phase"]), await read_journal(writing, id_)
    forgotten = await _choose_forgotten(writing, journal, decision, row)
    skipped = find_step(id_, journal, decision.skip) if decision.skip else None
    decided = {step.seq for step in (*forgotten, *([skipped] if skipped else []))}
    reason = _find_undecided(row, journal, decided, decision)
    if reason:
        return Resumed(outcome=ResumeOutcome.UNDECIDED, phase=phase, reason=reason)
    found = await _resume_children(writing, store, row, journal, forgotten, decision)
    if found.outcome is not ResumeOutcome.RESUMED:
        return found
    found = _join(found, "" if decision.forget_from else describe_limits(forgotten))
    for step in forgotten:
        await forget(writing, id_, step.seq)
        if decision.forget_from:  # else what a person said about it still holds
            await forget_decision(writing, id_, step.key)
    if decision.forget_from:
        await forget_tasks(writing, id_, decision.forget_from)
    if skipped is not None:
        await write_skipped(writing, id_, skipped.seq, decision.result)
    await forget_timers(writing, [id_])
    asked = transitions.resume_asked(store, epoch=row["epoch"], now=writing.now)
    anew = renew_generations(row, journal, forgotten) if decision.forget_from else {}
    renewed = {**asked.values, **await renew_pin(writing, id_, decision.limits), **anew}
    await writing.change(id_, replace(asked, values=renewed))
    return found


async def _resume_children(
    writing: Writing,
    store: StoreId,
    row: RowMapping,
    journal: Sequence[Step],
    forgotten: Sequence[Step],
    decision: Decision,
) -> Resumed:
    """What becomes of the executions that the steps `forgotten` waited for, and RESUMED where they are no obstacle.

    One that failed goes on as well, unless a person named its step: then another one takes its place. So it does where
    one was cancelled because its parent had failed.
    """
    going_on = Resumed(outcome=ResumeOutcome.RESUMED, phase=Phase(row["phase"]))
    if row["kind"] != Kind.WORKFLOW:
        return going_on
    if decision.forget_from:
        kept = [step for step in journal if step.seq < forgotten[0].seq]
        going_on = _join(going_on, await _replace(writing, await list_children_but(writing, row["id"], kept)))
        return _join(going_on, await _start_others(writing, row["id"], forgotten))
    child = await find_child(writing, row["id"], forgotten[0]) if forgotten else None
    again = {step.seq for step in forgotten}
    kept = [step for step in journal if step.key == decision.skip or (step.state in RECORDED and step.seq not in again)]
    replaced = await list_cancelled(writing, row["id"], kept) if row["phase"] == Phase.FAILED else []
    if child is not None and (decision.repeat or child["phase"] == Phase.CANCELLED):
        replaced = list(dict.fromkeys([child["id"], *replaced]))
    elif child is not None and child["phase"] == Phase.FAILED:  # else it goes on already, or has completed by now
        found = await _resume(writing, store, child["id"], Decision(limits=decision.limits))
        if found.outcome is not ResumeOutcome.RESUMED:
            return replace(going_on, outcome=found.outcome, reason=f"it waits for {child['id']}: {found.reason}")
        going_on = _join(going_on, f"{child['id']}, which it waits for, goes on as well", child["id"], *found.along)
        going_on = _join(going_on, found.reason)
    return _join(going_on, await _replace(writing, replaced))


def _join(resumed: Resumed, reason: str, *along: ExecutionId) -> Resumed:
    reasons = ", ".join(filter(None, (resumed.reason, reason)))
    return replace(resumed, reason=reasons, along=(*resumed.along, *along))


async def _resume_parent(writing: Writing, store: StoreId, id_: ExecutionId, found: Resumed) -> Resumed:
    """Have the execution go on that failed because `id_` had, or have nobody wait for `id_`: else that is cancelled.

    `found` is what came of `id_`. UNDECIDED where who waits for it cannot go on.
    """
    row = await lock_parent(writing, id_)
    if row is None:
        return found
    parent, phase = ExecutionId(row["id"]), Phase(row["phase"])
    if not phase.is_terminal and found.phase is not Phase.FAILED:  # it waits for what has not ended
        return found
    journal = await read_journal(writing, parent)
    if phase is not Phase.FAILED or not await _failed_of(writing, parent, journal, id_):
        return await _leave_parent(writing, parent, phase, journal, id_, found)
    above = await _resume(writing, store, parent, Decision())
    if above.outcome is not ResumeOutcome.RESUMED:
        reason = f"{parent} waits for {id_}, and cannot go on with it: {above.reason}"
        return Resumed(outcome=ResumeOutcome.UNDECIDED, phase=found.phase, reason=reason)
    found = _join(found, f"{parent}, which waits for it, goes on as well", parent, *above.along)
    return await _resume_parent(writing, store, parent, found)


async def _failed_of(writing: Writing, parent: ExecutionId, journal: Sequence[Step], id_: ExecutionId) -> bool:
    """Whether `parent` failed because `id_`, which it waited for, had failed."""
    culprit = find_culprit(journal, await read_error(writing, parent))
    child = await find_child(writing, parent, culprit) if culprit else None
    return child is not None and child["id"] == id_


async def _leave_parent(
    writing: Writing, parent: ExecutionId, phase: Phase, journal: Sequence[Step], id_: ExecutionId, found: Resumed
) -> Resumed:
    """Have `parent` not wait for `id_` any more, whose failure it has seen, or which it has outlived by now."""
    if not phase.is_terminal and not has_read(parent, journal, id_):
        return found
    await detach(writing, [id_])
    why = f"it is {phase}" if phase.is_terminal else "it has gone on without it"
    return _join(found, f"{parent} waits for it no more: {why}")


async def _replace(writing: Writing, children: Sequence[ExecutionId]) -> str:
    """Have others take the place of `children`; returns what is to be told of it."""
    await release(writing, children)
    others = f" and of {len(children) - 1} more" if children[1:] else ""
    return f"another execution takes the place of {children[0]}{others}" if children else ""


async def _start_others(writing: Writing, id_: ExecutionId, forgotten: Sequence[Step]) -> str:
    """Have the steps `forgotten` start others, where they wait for none; returns what is to be told of it."""
    started = await start_others(writing, id_, forgotten)
    others = f" and {len(started) - 1} more" if started[1:] else ""
    return f"another execution is started beside {started[0]}{others}" if started else ""


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


async def _choose_forgotten(
    writing: Writing, journal: Sequence[Step], decision: Decision, row: RowMapping
) -> Sequence[Step]:
    """The steps that are to be performed again. Raises NotFound or Conflict.

    What says that a branch has failed goes with the step that failed it.
    """
    id_ = row["id"]
    for key in (decision.repeat, decision.skip):
        step = find_step(id_, journal, key) if key else None
        if step is not None and step.state in RECORDED - {StepState.FAILED}:
            raise Conflict(
                f"step {step.key} of {id_} is {step.state}: its result is recorded",
                hint=f"stigmer executions resume {id_} --from {step.key} forgets it, and what began after it",
            )
    is_failed_workflow = row["kind"] == Kind.WORKFLOW and row["phase"] == Phase.FAILED
    if decision.forget_from:
        first = find_step(id_, journal, decision.forget_from)
        before = [step for step in journal if step.seq < first.seq]
        limits = list_limits(before, [first.key]) if is_failed_workflow else []
        return [*journal[len(before) :], *limits]
    if is_failed_workflow:
        return _choose_in_failed(journal, decision, id_, await read_error(writing, id_))
    if decision.repeat:
        return [find_step(id_, journal, decision.repeat), *list_decisions(journal, [decision.repeat])]
    if row["phase"] != Phase.FAILED or not journal:
        return []
    last = journal[-1]
    ended_it = last.state is StepState.FAILED and last.kind is not StepKind.TOOL and last.key != decision.skip
    return [last] if ended_it else []


def _choose_in_failed(journal: Sequence[Step], decision: Decision, id_: ExecutionId, error: str) -> Sequence[Step]:
    """Of a workflow: the task that failed it, or what a timeout cut off that did, and what was decided around these."""
    culprit = find_culprit(journal, error)
    expired = find_expired(journal, error) if culprit is None else None
    if decision.repeat:
        again = [find_step(id_, journal, decision.repeat)]
    elif culprit is not None:
        again = [culprit] if culprit.key != decision.skip else []
    else:
        cut = [step for step in journal if is_cut_off(step)] if expired is not None and not decision.skip else []
        again = [step for step in cut if is_left_by(step, expired or "", journal)]
    keys = [key for key in (*(step.key for step in again), decision.skip, expired) if key is not None]
    return [*again, *list_decisions(journal, keys), *list_limits(journal, keys)]


def _find_undecided(row: RowMapping, journal: Sequence[Step], decided: set[int], decision: Decision) -> str:
    """What a person has still to decide, as a sentence; empty if nothing.

    Of several steps in the air, in branches, a person decides about one at a time: the next attempt goes on until it
    comes to another one, and waits for a person again.
    """
    id_ = row["id"]
    is_about_one = bool(decision.repeat or decision.skip)
    left = next((step for step in journal if _is_left(step, decided, decision)), None)
    if left is not None and not is_about_one:
        return (
            f"nothing says whether step {left.key} ({left.kind} {left.name}) took effect: resume {id_} with --repeat"
            f" {left.key} or --skip {left.key}"
        )
    if row["attention_code"] == AttentionCode.JOURNAL_MISMATCH and not decided:
        return f"a recorded step does not fit any more: resume {id_} with --from STEP, or run it again"
    return ""


def _is_left(step: Step, decided: set[int], decision: Decision) -> bool:
    """Whether a person has still to say what becomes of the step; one that was cut off is not repeated unasked."""
    if step.seq in decided:
        return is_cut_off(step) and decision.forget_from is None
    return step.is_in_the_air
