"""What a run may write: claim, attempts, messages, outcome; a run that no longer counts changes nothing.

claim_and_begin 1 ──▶ append_message ... ──▶ finish
        ├──(the runner died)──▶ claim_and_begin 2 ──▶ append_message ... ──▶ finish
        └──(the model is busy)──▶ postpone ──(later)──▶ claim_and_begin 2 ──▶ ...

Runs of an older workflow report `claim` and `begin_attempt` one after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import RowMapping

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.execution import Outcome, QueueReason, TokenUsage
from stigmer_cli.domain.identity import ExecutionId, Kind, RunId, StoreId, WorkflowId, WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.task import TaskState
from stigmer_cli.errors import Conflict
from stigmer_cli.store import run_transitions
from stigmer_cli.store.attempt_counts import AttemptCounts, count_attempts
from stigmer_cli.store.database import Database, EventDraft, Transition, Writing, whole
from stigmer_cli.store.mapping import map_outcome, outcome_event
from stigmer_cli.store.messages import FOLD_CHARS_MIN, MessageWriter, draft_piece, fold
from stigmer_cli.store.run_transitions import Postponement
from stigmer_cli.store.step_rows import EndedStep, add_turns, write_ended
from stigmer_cli.store.task_rows import write_tasks
from stigmer_cli.store.transitions import expect, may_become, put_back
from stigmer_cli.store.usage import add_usage
from stigmer_cli.store.with_agent import LOCKED_WITH_AGENT, WithAgent, with_agent_of


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """The run that asks for an epoch, as Temporal names it.

    `workflow` and `first_run` (of its chain) are None where a runner from before stores had ids asks.
    `has_workflows`: its runner can perform workflows.
    """

    run: RunId
    runner: str
    workflow: WorkflowId | None
    first_run: RunId | None
    has_workflows: bool = True


@dataclass(frozen=True, kw_only=True)
class ReportedText:
    """`text` stands at `offset` (in characters) of message `index`."""

    index: int
    offset: int
    role: str
    text: str

    def to_draft(self) -> EventDraft:
        """The piece of a message that it is."""
        return draft_piece(self.index, self.offset, self.role, self.text)


class ReportResult(StrEnum):
    """What became of a report: it counts; another run or attempt holds the epoch; or the epoch's run has ended."""

    TAKEN = "taken"
    STALE = "stale"
    DONE = "done"


class Claimed(NamedTuple):
    """What became of a claim, and of the attempt; where that begins, `before` is the execution as it was before."""

    answer: ClaimAnswer
    report: ReportResult
    before: WithAgent | None = None


class _Finished(NamedTuple):
    """What became of an outcome, what is to be told of usage, and whether the next turn of a session is due."""

    report: ReportResult
    used: TokenUsage | None = None
    is_turn: bool = False


class RunTable:
    """Reports of runs. Each names execution, epoch and run, and most the attempt; sent twice they count once.

    `on_usage` is told what an attempt used, once, when that is on disk; `on_turn` that a session may go on.
    """

    def __init__(self, database: Database, store: StoreId) -> None:
        self._database = database
        self._store = store
        self.on_usage: Callable[[TokenUsage], None] | None = None
        self.on_turn: Callable[[], None] | None = None

    @whole
    async def claim(self, execution_id: ExecutionId, *, epoch: int, claimant: Claimant) -> ClaimAnswer:
        """Give the epoch to the claimant if no other run holds it, and make PENDING into IN_PROGRESS, in one statement.

        Only a run of the execution's own workflow may ask: another id, or another chain of runs than the one that was
        submitted, is NOT_MINE. The winner also counts as submitted, should a crash have lost that note. The same run
        wins again.
        """
        async with self._database.writing() as writing:
            row = await writing.lock_row(execution_id)
            if row is None or not _is_its_own(row, epoch, claimant):
                return ClaimAnswer.NOT_MINE
            if _is_beyond(row, claimant):
                await self._put_back(writing, row, epoch, claimant)
                return ClaimAnswer.LOST
            if (
                await writing.change(execution_id, run_transitions.claim(epoch, claimant.run, claimant.runner, writing))
                is not None
            ):
                return ClaimAnswer.WON
            is_holder = row["epoch"] == epoch and row["claimed_run"] == claimant.run
            return ClaimAnswer.WON if is_holder and not Phase(row["phase"]).is_terminal else ClaimAnswer.LOST

    @whole
    async def claim_and_begin(
        self, execution_id: ExecutionId, *, epoch: int, claimant: Claimant, attempt: int
    ) -> Claimed:
        """`claim` and `begin_attempt` in one transaction, and one statement for a run that wins.

        The attempt begins (TAKEN) only where the run holds the epoch.
        """

        async def write(writing: Writing) -> Claimed:
            found = await writing.connection.execute(LOCKED_WITH_AGENT, {"id": execution_id})
            row = found.mappings().one_or_none()
            if row is None or not _is_its_own(row, epoch, claimant):
                return Claimed(ClaimAnswer.NOT_MINE, ReportResult.STALE)
            if _is_beyond(row, claimant):
                await self._put_back(writing, row, epoch, claimant)
                return Claimed(ClaimAnswer.LOST, ReportResult.STALE)
            claimed = run_transitions.claim_and_begin(
                row, epoch, claimant.run, claimant.runner, writing, attempt=attempt
            )
            if row["claimed_run"] is None and await writing.change(execution_id, claimed) is not None:
                return Claimed(ClaimAnswer.WON, ReportResult.TAKEN, with_agent_of(row))
            if row["epoch"] != epoch or row["claimed_run"] != claimant.run:
                return Claimed(ClaimAnswer.LOST, ReportResult.STALE)
            known = known_better(row, epoch, claimant.run, attempt)
            report = known or await _begin(writing, row, claimant, attempt)
            return Claimed(ClaimAnswer.WON, report, with_agent_of(row) if report is ReportResult.TAKEN else None)

        return await self._database.write(write)

    @whole
    async def begin_attempt(
        self,
        execution_id: ExecutionId,
        *,
        epoch: int,
        run: RunId,
        attempt: int,
        runner: str,
        has_workflows: bool = True,
    ) -> ReportResult:
        """Attempt `attempt` (from 1) of the run begins on `runner`; the messages of earlier ones are withdrawn.

        `has_workflows` is as in `Claimant`.
        """
        async with self._database.writing() as writing:
            row = await writing.lock_row(execution_id)
            if (known := known_better(row, epoch, run, attempt)) is not None or row is None:
                return known or ReportResult.STALE
            claimant = Claimant(run=run, runner=runner, workflow=None, first_run=None, has_workflows=has_workflows)
            if _is_beyond(row, claimant):
                await self._put_back(writing, row, epoch, claimant)
                return ReportResult.STALE
            return await _begin(writing, row, claimant, attempt)

    @whole
    async def count_attempts(self, execution_id: ExecutionId) -> AttemptCounts:
        """The attempts of the run that holds `execution_id`, at least 1 in 1 process.

        The first attempt leaves no event: it counts for the process that claimed the execution.
        """
        async with self._database.reading() as connection:
            return await count_attempts(connection, execution_id)

    @whole
    async def postpone(
        self, execution_id: ExecutionId, *, epoch: int, run: RunId, attempt: int, postponement: Postponement
    ) -> ReportResult:
        """Attempt `attempt` of the run ended because its model is busy; the next one follows later.

        Raises Conflict if that attempt has not begun.
        """
        async with self._database.writing() as writing:
            row = await writing.lock_row(execution_id)
            if (known := known_better(row, epoch, run, attempt)) is not None or row is None:
                return known or ReportResult.STALE
            check_begun(row, attempt)
            is_waiting = row["queue_reason"] == QueueReason.MODEL_BUSY
            if not (is_waiting and row["next_try_at"]):  # else it was reported before
                await writing.change(
                    execution_id,
                    run_transitions.postpone(epoch, attempt, postponement, row, writing, is_first=not is_waiting),
                )
            return ReportResult.TAKEN

    @whole
    async def append_message(  # noqa: PLR0913 (a report names everything it expects)
        self,
        execution_id: ExecutionId,
        *,
        epoch: int,
        run: RunId,
        attempt: int,
        index: int,
        offset: int,
        role: str,
        text: str,
    ) -> ReportResult:
        """`text` stands at `offset` (in characters) of message `index`; what is there already is not written again.

        Raises Conflict if that leaves a gap, contradicts what is there, or belongs to an attempt that has not begun.
        """

        async def write(writing: Writing) -> ReportResult:
            row = await writing.lock_row(execution_id)
            if (known := known_better(row, epoch, run, attempt)) is not None or row is None:
                return known or ReportResult.STALE
            check_begun(row, attempt)
            await _append(writing, row, ReportedText(index=index, offset=offset, role=role, text=text))
            return ReportResult.TAKEN

        return await self._database.write(write)

    @whole
    async def add_usage(
        self, execution_id: ExecutionId, *, epoch: int, run: RunId, attempt: int, usage: TokenUsage
    ) -> ReportResult:
        """The attempt used this and ends without an outcome; each attempt counts once."""
        async with self._database.writing() as writing:
            row = await writing.lock_row(execution_id)
            if (known := known_better(row, epoch, run, attempt)) is not None or row is None:
                return known or ReportResult.STALE
            values = _add_usage(row, usage, epoch, attempt)
            if values:
                await writing.change(execution_id, Transition(expects=expect(epoch=epoch), values=values))
        if values:
            self._tell(usage)
        return ReportResult.TAKEN

    @whole
    async def finish(  # noqa: PLR0913 - one parameter a field of the wire
        self,
        execution_id: ExecutionId,
        *,
        epoch: int,
        run: RunId,
        attempt: int | None,
        outcome: Outcome,
        tail: ReportedText | None = None,
        steps: Sequence[EndedStep] = (),
        tasks: Sequence[TaskState] = (),
    ) -> ReportResult:
        """The run ended with `outcome`; `attempt` None: the workflow's own report, whichever attempt was running.

        Only the workflow's report may end a run that has not claimed yet: it was cancelled or failed before it began.
        `tail` is what the attempt said last, as in `append_message`, whose Conflict it raises. `steps` are what it has
        not recorded yet; their usage is in that of the outcome. `tasks` are those of a workflow that changed last.
        """
        usage = add_turns(outcome.usage, steps)

        async def write(writing: Writing) -> _Finished:
            row = await writing.lock_row(execution_id)
            if (known := known_better(row, epoch, run, attempt)) is not None or row is None:
                return _Finished(known or ReportResult.STALE)
            earlier = await _take_tail(writing, row, attempt, tail)
            used = _add_usage(row, usage, epoch, attempt)
            ended = Transition(
                guards=(may_become(outcome.phase),),
                expects=expect(epoch=epoch),
                values={**map_outcome(outcome, writing.now), **used},
                event=outcome_event(outcome),
                earlier=earlier,
            )
            if await writing.change(execution_id, ended) is None:
                return _Finished(ReportResult.STALE)
            if not earlier:
                await fold(writing, execution_id, after=row["answer_seq"], output=outcome.output)
            if attempt is not None:
                for step in steps:
                    await write_ended(writing, row, attempt, step)
                await write_tasks(writing, execution_id, tasks)
            return _Finished(ReportResult.TAKEN, usage if used else None, is_turn=row["session"] is not None)

        finished = await self._database.write(write)
        self._tell(finished.used)
        if finished.is_turn and self.on_turn is not None:
            self.on_turn()
        return finished.report

    async def _put_back(self, writing: Writing, row: RowMapping, epoch: int, claimant: Claimant) -> None:
        """Have the execution wait for another runner, unless it is another run's, or is to end."""
        is_free = known_better(row, epoch, claimant.run, None) is None or row["phase"] == Phase.PENDING
        if is_free and row["epoch"] == epoch and row["cancel_requested_at"] is None:
            await writing.change(row["id"], put_back(self._store, claimant.runner, epoch=epoch, now=writing.now))

    def _tell(self, usage: TokenUsage | None) -> None:
        if usage is not None and self.on_usage is not None:
            self.on_usage(usage)


def _is_its_own(row: RowMapping, epoch: int, claimant: Claimant) -> bool:
    """Whether the claimant belongs to the workflow that `row` has in that epoch.

    A row that was submitted names the first run of its chain. Where a crash lost that, any run with the right
    workflow id is accepted.
    """
    if claimant.workflow is None:
        return row["store_id"] is None
    name = WorkflowName(kind=Kind(row["kind"]), execution=row["id"], epoch=epoch, store=row["store_id"])
    is_unclaimed = epoch == row["epoch"] and row["claimed_run"] is None
    submitted = row["run_id"] if is_unclaimed else None
    return name.id == claimant.workflow and (submitted is None or claimant.first_run in (None, submitted))


def _is_beyond(row: RowMapping, claimant: Claimant) -> bool:
    """Whether the claimant's runner would take a workflow for an agent, and have it fail."""
    return row["kind"] == Kind.WORKFLOW and not claimant.has_workflows


def known_better(row: RowMapping | None, epoch: int, run: RunId, attempt: int | None) -> ReportResult | None:
    """Why a report does not count; None if it does. `row` is locked; None: there is no such execution."""
    if row is None or row["epoch"] != epoch:
        return ReportResult.STALE
    holder = row["claimed_run"]
    if Phase(row["phase"]).is_terminal or row["waiting_for"] is not None:  # a wait ends the run, too
        return ReportResult.DONE if run == (holder or row["run_id"]) else ReportResult.STALE
    if holder is None:
        return None if attempt is None and run == row["run_id"] else ReportResult.STALE
    if holder != run or (attempt is not None and attempt < row["claimed_attempt"]):
        return ReportResult.STALE
    return None


def _add_usage(row: RowMapping, usage: TokenUsage | None, epoch: int, attempt: int | None) -> Mapping[str, object]:
    """The column to write so that what `attempt` used is in the sum of `row`; nothing where it is unknown, or in it."""
    total = None if usage is None or attempt is None else add_usage(row["usage"], usage, epoch=epoch, attempt=attempt)
    return {} if total is None else {"usage": total}


def check_begun(row: RowMapping, attempt: int) -> None:
    """Raise Conflict where `attempt` of the run that holds `row` has not begun."""
    if attempt > row["claimed_attempt"]:
        raise Conflict(f"attempt {attempt} of {row['id']} has not begun")


async def _begin(writing: Writing, row: RowMapping, claimant: Claimant, attempt: int) -> ReportResult:
    """Have the attempt begin of the run that holds `row`."""
    if attempt != row["claimed_attempt"]:
        await fold(writing, row["id"], after=row["answer_seq"], output=None)
        await writing.change(row["id"], run_transitions.begin(row, claimant.run, attempt, claimant.runner))
    return ReportResult.TAKEN


async def _take_tail(
    writing: Writing, row: RowMapping, attempt: int | None, tail: ReportedText | None
) -> Sequence[EventDraft]:
    """Write what the attempt said last, or return it as what is to be written with the outcome. Raises Conflict."""
    if tail is None or attempt is None:
        return ()
    check_begun(row, attempt)
    if _is_all(row, tail):
        return (tail.to_draft(),)
    await _append(writing, row, tail)
    return ()


def _is_all(row: RowMapping, tail: ReportedText) -> bool:
    """Whether `tail` is all that the present attempt said, and so short that it is not folded.

    Then it is one statement with the outcome, and nothing has to be read: the claim is the last event of the timeline.
    """
    is_first = row["event_seq"] == row["answer_seq"] and row["queue_reason"] != QueueReason.MODEL_BUSY
    return is_first and tail.index == tail.offset == 0 and 0 < len(tail.text) < FOLD_CHARS_MIN


async def _append(writing: Writing, row: RowMapping, piece: ReportedText) -> None:
    """Write what of `piece` is not there yet. Raises Conflict."""
    if row["queue_reason"] == QueueReason.MODEL_BUSY:
        await writing.change(row["id"], run_transitions.end_model_wait(row["epoch"]))
    message = MessageWriter(writing, row["id"], epoch=row["epoch"], index=piece.index, after=row["answer_seq"])
    fresh = await message.find_new(piece.offset, piece.role, piece.text)
    if fresh is not None:
        await message.append(piece.offset + len(piece.text) - len(fresh), piece.role, fresh)
