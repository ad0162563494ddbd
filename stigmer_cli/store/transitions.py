"""Every guarded transition of an execution that is made on the server's side, as data: expectation, change, event.

What a run may do is in `runs.py`. The phases and the arrows between them are in `domain/phase.py`; a transition that
writes a phase expects one of the phases that the table there allows to leave for it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import ColumnElement, bindparam

from stigmer_cli.domain.execution import NEXT_TRY_MAX_S, AttentionCode, EventType, Outcome, QueueReason
from stigmer_cli.domain.identity import RunId, StoreId
from stigmer_cli.domain.phase import Phase, sources_of
from stigmer_cli.store.database import EventDraft, Transition
from stigmer_cli.store.mapping import NO_ATTENTION, NO_WAIT, map_outcome, outcome_event
from stigmer_cli.store.tables import OPEN, QUEUED, executions

_ROW = executions.c

CANCELLED_UNCLAIMED = "cancelled before any run had an effect"
CANCELLED_WAITING = "cancelled while it waited"

# Named, so that transitions of one kind share the objects, which is how `Writing.change_all` groups them.
IS_PENDING = _ROW.phase == Phase.PENDING
IS_IN_PROGRESS = _ROW.phase == Phase.IN_PROGRESS
IS_SUBMITTED = _ROW.submitted_at.is_not(None)
IS_UNSUBMITTED = _ROW.submitted_at.is_(None)
IS_UNCLAIMED = _ROW.claimed_run.is_(None)
HAS_NO_CLUSTER = _ROW.world.is_(None)
IS_MARKED = _ROW.attention_code.is_not(None)
IS_WAITING = _ROW.waiting_for.is_not(None)
IS_FAILED_OR_MARKED = (_ROW.phase == Phase.FAILED) | _ROW.attention_code.is_not(None) | IS_WAITING
IS_WANTED = _ROW.cancel_requested_at.is_(None)


# What it waits for, or when it is tried next, differs from what the transition writes (`to_COLUMN`).
WAITS_OTHERWISE = _ROW.queue_detail.is_distinct_from(bindparam("to_queue_detail")) | _ROW.next_try_at.is_distinct_from(
    bindparam("to_next_try_at")
)


@cache
def _waits_for(reason: QueueReason) -> ColumnElement[bool]:
    return _ROW.queue_reason == reason


@cache
def _waits_for_another(reason: QueueReason) -> ColumnElement[bool]:
    return _ROW.queue_reason != reason


@cache
def may_become(phase: Phase) -> ColumnElement[bool]:
    """The row is in a phase from which `phase` may be entered."""
    return _ROW.phase.in_(sources_of(phase))


@cache
def _is_not_marked(code: AttentionCode) -> ColumnElement[bool]:
    return _ROW.attention_code.is_distinct_from(code)


def expect(*, epoch: int, version: int | None = None) -> Mapping[str, int]:
    """The row is in `epoch` and, if a version is given, nobody has written it since that one."""
    return {"epoch": epoch} if version is None else {"epoch": epoch, "version": version}


def wait_for(
    reason: QueueReason, detail: str, *, epoch: int, next_try_at: datetime | None, now: datetime
) -> Transition:
    """Queued: it waits for a new reason."""
    return Transition(
        guards=(QUEUED, _waits_for_another(reason)),
        expects=expect(epoch=epoch),
        values={**_queue(reason, detail, now), "next_try_at": next_try_at},
        event=_queued_event(reason, detail),
    )


def wait_on(reason: QueueReason, detail: str, *, epoch: int, next_try_at: datetime | None) -> Transition:
    """Queued: it still waits for the same reason; the words or the next try changed."""
    return Transition(
        guards=(QUEUED, _waits_for(reason), WAITS_OTHERWISE),
        expects=expect(epoch=epoch),
        values={"queue_detail": detail, "next_try_at": next_try_at},
    )


def submit(run_id: RunId, cluster: str, *, epoch: int, was_there: bool, now: datetime) -> Transition:
    """Temporal took it, or had it already."""
    return Transition(
        guards=(OPEN, IS_UNSUBMITTED),
        expects=expect(epoch=epoch),
        values={**NO_ATTENTION, "submitted_at": now, "run_id": run_id, "world": cluster, "next_try_at": None},
        event=EventDraft(
            type=EventType.SUBMITTED,
            text=f"submitted (run {run_id}{', which was there already' if was_there else ''})",
            data={"run": run_id, "already": was_there},
        ),
    )


def note_cluster(run_id: RunId, cluster: str, *, epoch: int) -> Transition:
    """A claim marked it submitted before the dispatcher could, and could not know which Temporal it came from."""
    return Transition(
        guards=(OPEN, HAS_NO_CLUSTER), expects={**expect(epoch=epoch), "run_id": run_id}, values={"world": cluster}
    )


def fail_submit(
    detail: str, *, row: Mapping[str, object], attempts: int, next_try_at: datetime, now: datetime
) -> Transition:
    """A submit failed for another reason than a connection; it is tried again at `next_try_at`."""
    is_first = row["queue_reason"] != QueueReason.SUBMIT_FAILED
    return Transition(
        guards=(QUEUED,),
        values={
            "queue_reason": QueueReason.SUBMIT_FAILED,
            "queue_detail": detail,
            "attempts": attempts,
            "next_try_at": next_try_at,
        }
        | ({"queued_since": now} if is_first else {}),
        event=_queued_event(QueueReason.SUBMIT_FAILED, detail, attempts=attempts),
    )


def give_up_submit(detail: str, *, attempts: int, now: datetime) -> Transition:
    """A submit failed as often as it may; a person has to look."""
    return Transition(
        guards=(QUEUED,),
        values={
            **_queue(QueueReason.SUBMIT_FAILED, detail, now),
            **_attention(AttentionCode.SUBMIT_FAILED, detail, now),
            "attempts": attempts,
            "next_try_at": None,
        },
        event=_attention_event(AttentionCode.SUBMIT_FAILED, f"{attempts} tries to submit failed: {detail}"),
    )


def mark(code: AttentionCode, reason: str, *, epoch: int, version: int | None, now: datetime) -> Transition:
    """Only a person can decide about it."""
    return Transition(
        guards=(OPEN, _is_not_marked(code)),
        expects=expect(epoch=epoch, version=version),
        values=_attention(code, reason, now),
        event=_attention_event(code, reason),
    )


def unmark(reason: str, *, epoch: int, version: int) -> Transition:
    """No person has to decide any more."""
    return Transition(
        guards=(OPEN, IS_MARKED),
        expects=expect(epoch=epoch, version=version),
        values=NO_ATTENTION,
        event=EventDraft(type=EventType.UNMARKED, text=f"needs no attention any more: {reason}"),
    )


def requeue(store: StoreId, reason: QueueReason, detail: str, *, epoch: int, version: int, now: datetime) -> Transition:
    """Orphan: Temporal has forgotten it, and no run ever claimed it, so submitting it again is safe."""
    return Transition(
        guards=(IS_PENDING, IS_SUBMITTED, IS_UNCLAIMED),
        expects=expect(epoch=epoch, version=version),
        values={**_queue(reason, detail, now), **_unsubmitted(store, now)},
        event=EventDraft(type=EventType.ORPHANED, text=f"orphaned: {detail}", data={"reason": reason}),
    )


def requeue_next(store: StoreId, detail: str, *, failures: int, epoch: int, version: int, now: datetime) -> Transition:
    """Orphan: its workflow closed and no run ever claimed it; the next epoch has a workflow id that is still free.

    `failures` counts the runs in a row that ended so.
    """
    return Transition(
        guards=(IS_PENDING, IS_SUBMITTED, IS_UNCLAIMED),
        expects=expect(epoch=epoch, version=version),
        values={
            **_queue(QueueReason.ORPHANED, detail, now),
            **_unsubmitted(store, now),
            "attempts": failures,
            "epoch": epoch + 1,
        },
        event=EventDraft(
            type=EventType.ORPHANED,
            text=f"orphaned: {detail}",
            data={"reason": QueueReason.ORPHANED, "epoch": epoch + 1},
        ),
    )


def start_over(store: StoreId, *, epoch: int, version: int, now: datetime) -> Transition:
    """Lost: a person said to go on whatever may be repeated; reports of the old epoch's run no longer count."""
    return Transition(
        guards=(may_become(Phase.PENDING), IS_IN_PROGRESS),
        expects=expect(epoch=epoch, version=version),
        values={**_queue(QueueReason.STARTED_OVER, "", now), **_begin_epoch(store, epoch + 1, now)},
        event=EventDraft(
            type=EventType.STARTED_OVER, text=f"started over (epoch {epoch + 1})", data={"epoch": epoch + 1}
        ),
    )


def resume(  # noqa: PLR0913 (what it expects, what it says, and when)
    store: StoreId, detail: str, *, resumes: int, delay_s: float, epoch: int, version: int, now: datetime
) -> Transition:
    """Interrupted: it goes on after its last recorded step; reports of the old epoch's run no longer count.

    `resumes` counts those in a row without a step between them; it is due in `delay_s` seconds.
    """
    return Transition(
        guards=(may_become(Phase.PENDING), IS_IN_PROGRESS),
        expects=expect(epoch=epoch, version=version),
        values={
            **_queue(QueueReason.RESUMED, detail, now),
            **_begin_epoch(store, epoch + 1, now),
            "next_try_at": now + timedelta(seconds=delay_s),
        },
        event=EventDraft(
            type=EventType.RESUMED,
            text=f"resumed (epoch {epoch + 1}): {detail}",
            data={"epoch": epoch + 1, "resumes": resumes},
        ),
    )


def resume_asked(store: StoreId, *, epoch: int, now: datetime) -> Transition:
    """A person has it go on where it stopped, after a failure or past a mark; the count of resumes begins again."""
    return Transition(
        guards=(may_become(Phase.PENDING), IS_FAILED_OR_MARKED),
        expects=expect(epoch=epoch),
        values={
            **_queue(QueueReason.RESUMED, "", now),
            **_begin_epoch(store, epoch + 1, now),
            "completed_at": None,
            "output": None,
            "error": None,
        },
        event=EventDraft(
            type=EventType.RESUMED,
            text=f"resumed (epoch {epoch + 1}), as a person asked",
            data={"epoch": epoch + 1, "resumes": 0},
        ),
    )


def wake(store: StoreId, detail: str, *, epoch: int, now: datetime) -> Transition:
    """What it waited for is there: it goes on after its last recorded step."""
    return Transition(
        guards=(may_become(Phase.PENDING), IS_WAITING),
        expects=expect(epoch=epoch),
        values={**_queue(QueueReason.RESUMED, detail, now), **_begin_epoch(store, epoch + 1, now)},
        event=EventDraft(
            type=EventType.RESUMED,
            text=f"resumed (epoch {epoch + 1}): {detail}",
            data={"epoch": epoch + 1, "resumes": 0, "waited": True},
        ),
    )


def put_back(store: StoreId, runner: str, *, epoch: int, now: datetime) -> Transition:
    """The runner that took it up cannot perform it: it waits for another one, longer each time."""
    detail = f"runner {runner} is of an older version, which cannot perform workflows: replace it"
    delay_s = min(2.0 ** min(epoch, 10), NEXT_TRY_MAX_S)
    return Transition(
        guards=(OPEN,),
        expects=expect(epoch=epoch),
        values={
            **_queue(QueueReason.WAITING_FOR_RUNNER, detail, now),
            **_begin_epoch(store, epoch + 1, now),
            "next_try_at": now + timedelta(seconds=delay_s),
        },
        event=_queued_event(QueueReason.WAITING_FOR_RUNNER, detail, epoch=epoch + 1),
    )


def retry(*, version: int, now: datetime) -> Transition:
    """A person asked to submit it again after submits had failed for good."""
    return Transition(
        guards=(IS_PENDING, IS_UNSUBMITTED),
        expects={"attention_code": AttentionCode.SUBMIT_FAILED, "version": version},
        values={**NO_ATTENTION, "attempts": 0, "next_try_at": now},
        event=_queued_event(QueueReason.SUBMIT_FAILED, "to be tried again, as a person asked"),
    )


def cancel_at_once(*, now: datetime) -> Transition:
    """No run has claimed it, and none can any more: whatever Temporal still has of it ends without effect."""
    outcome = Outcome(phase=Phase.CANCELLED, error=CANCELLED_UNCLAIMED)
    return Transition(
        guards=(may_become(Phase.CANCELLED), IS_PENDING, IS_UNCLAIMED),
        values={**map_outcome(outcome, now), "cancel_requested_at": now},
        event=EventDraft(type=EventType.CANCELLED, text=CANCELLED_UNCLAIMED),
    )


def cancel_waiting(*, now: datetime) -> Transition:
    """Nobody works on it, so nobody has to be told."""
    outcome = Outcome(phase=Phase.CANCELLED, error=CANCELLED_WAITING)
    return Transition(
        guards=(may_become(Phase.CANCELLED), IS_WAITING),
        values={**map_outcome(outcome, now), "cancel_requested_at": now},
        event=EventDraft(type=EventType.CANCELLED, text=CANCELLED_WAITING),
    )


def ask_to_cancel(*, now: datetime) -> Transition:
    """A run may be at work: it has to be told, and it says when it has ended."""
    return Transition(
        guards=(OPEN, IS_WANTED),
        values={"cancel_requested_at": now},
        event=EventDraft(type=EventType.CANCEL_REQUESTED, text="cancellation asked for"),
    )


ENDS = (cancel_at_once, cancel_waiting, ask_to_cancel)
"""What is tried in turn to end an execution on request; the last one only asks its run."""


def conclude(outcome: Outcome, detail: str, *, epoch: int, version: int, now: datetime) -> Transition:
    """Row behind: Temporal knows how it ended."""
    return Transition(
        guards=(may_become(outcome.phase),),
        expects=expect(epoch=epoch, version=version),
        values=map_outcome(outcome, now),
        event=outcome_event(outcome, source=detail),
    )


def _queue(reason: QueueReason, detail: str, now: datetime) -> Mapping[str, object]:
    return {"queue_reason": reason, "queue_detail": detail, "queued_since": now}


def _unsubmitted(store: StoreId, now: datetime) -> Mapping[str, object]:
    return {
        **NO_ATTENTION,
        "store_id": store,
        "submitted_at": None,
        "run_id": None,
        "world": None,
        "attempts": 0,
        "next_try_at": now,
    }


def _begin_epoch(store: StoreId, epoch: int, now: datetime) -> Mapping[str, object]:
    """PENDING in a new epoch, as if no run had ever claimed it; what is recorded of it stays."""
    return {
        **_unsubmitted(store, now),
        **NO_WAIT,
        "phase": Phase.PENDING,
        "epoch": epoch,
        "started_at": None,
        "claimed_run": None,
        "claimed_by": None,
        "claimed_attempt": 0,
        "answer_seq": None,
        "cancel_requested_at": None,
    }


def _attention(code: AttentionCode, reason: str, now: datetime) -> Mapping[str, object]:
    return {"attention_code": code, "attention_reason": reason, "attention_since": now, "next_try_at": None}


def _queued_event(reason: QueueReason, detail: str, **data: int) -> EventDraft:
    return EventDraft(type=EventType.QUEUED, text=f"queued: {detail or reason}", data={"reason": reason, **data})


def _attention_event(code: AttentionCode, reason: str) -> EventDraft:
    return EventDraft(type=EventType.ATTENTION, text=f"needs attention: {reason}", data={"code": code})
