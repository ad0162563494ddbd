"""Every guarded transition that a run makes of its execution, as data, except for its messages and its outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import RowMapping

from stigmer_cli.clock import iso
from stigmer_cli.domain.execution import EventType, QueueReason
from stigmer_cli.domain.identity import RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import Waiting
from stigmer_cli.store.database import EventDraft, Transition, Writing
from stigmer_cli.store.mapping import NO_ATTENTION
from stigmer_cli.store.transitions import IS_IN_PROGRESS, IS_UNCLAIMED, expect, may_become
from stigmer_cli.time_format import span


@dataclass(frozen=True, kw_only=True)
class Postponement:
    """An attempt ended because its model was busy; the next one is due in `delay_s` seconds.

    `cause` is a sentence. `busy_s` is for how long the model will have been busy by then. `broke_off`: the answer had
    begun.
    """

    cause: str
    delay_s: float
    busy_s: float
    broke_off: bool


def claim_and_begin(
    row: RowMapping, epoch: int, run: RunId, runner: str, writing: Writing, *, attempt: int
) -> Transition:
    """The run holds the epoch from now on, and its `attempt` begins."""
    claimed = claim(epoch, run, runner, writing)
    begun = {"claimed_attempt": attempt, "answer_seq": row["event_seq"] + 1}
    return replace(claimed, values={**claimed.values, **begun})


def claim(epoch: int, run: RunId, runner: str, writing: Writing) -> Transition:
    """The run holds the epoch from now on."""
    return Transition(
        guards=(may_become(Phase.IN_PROGRESS), IS_UNCLAIMED),
        expects=expect(epoch=epoch),
        values={
            **NO_ATTENTION,
            "phase": Phase.IN_PROGRESS,
            "started_at": writing.now,
            "claimed_run": run,
            "claimed_by": runner,
            "claimed_attempt": 0,
            "run_id": run,
            "attempts": 0,
            "next_try_at": None,
        },
        # The dispatcher may have died between Temporal's answer and its note of it.
        fills={"submitted_at": writing.now},
        event=EventDraft(
            type=EventType.CLAIMED, text=f"claimed by runner {runner}", data={"run": run, "runner": runner}
        ),
    )


def begin(row: RowMapping, run: RunId, attempt: int, runner: str) -> Transition:
    """An attempt of the run that holds the epoch begins; the first one needs no event beside that of the claim."""
    is_first = row["claimed_attempt"] == 0
    return Transition(
        guards=(IS_IN_PROGRESS,),
        expects={**expect(epoch=row["epoch"]), "claimed_run": run},
        values={
            "claimed_attempt": attempt,
            "claimed_by": runner,
            "next_try_at": None,
            "answer_seq": row["event_seq"] + (0 if is_first else 1),
        },
        event=None
        if is_first
        else EventDraft(
            type=EventType.ATTEMPT, text=f"attempt {attempt} begins", data={"attempt": attempt, "runner": runner}
        ),
    )


def postpone(
    epoch: int, attempt: int, postponement: Postponement, row: RowMapping, writing: Writing, *, is_first: bool
) -> Transition:
    """The run waits for its model; `is_first`: it did not before."""
    next_try_at = writing.now + timedelta(seconds=postponement.delay_s)
    return Transition(
        guards=(IS_IN_PROGRESS,),
        expects=expect(epoch=epoch),
        values={
            "queue_reason": QueueReason.MODEL_BUSY,
            "queue_detail": postponement.cause,
            "attempts": row["attempts"] + 1,
            "next_try_at": next_try_at,
        }
        | ({"queued_since": writing.now} if is_first else {}),
        event=EventDraft(
            type=EventType.MODEL_BUSY,
            text=f"{postponement.cause}; next try in {span(postponement.delay_s)}",
            data={
                "attempt": attempt,
                "cause": postponement.cause,
                "brokeOff": postponement.broke_off,
                "busyS": round(postponement.busy_s, 3),
                "nextTryAt": iso(next_try_at),
            },
        ),
    )


def end_model_wait(epoch: int) -> Transition:
    """The model answers: a later failure begins another wait. The tries of the epoch are still counted."""
    return Transition(
        guards=(IS_IN_PROGRESS,),
        expects=expect(epoch=epoch),
        values={"queue_reason": QueueReason.ACCEPTED, "queue_detail": "", "next_try_at": None},
    )


def wait(waiting: Waiting, data: Mapping[str, object], *, epoch: int) -> Transition:
    """The run ends, and nobody works on it until what it waits for is there; `data` is told in the timeline."""
    return Transition(
        guards=(IS_IN_PROGRESS,),
        expects=expect(epoch=epoch),
        values={
            **NO_ATTENTION,
            "waiting_for": waiting.wait_for,
            "waiting_step": waiting.step,
            "waiting_since": waiting.since,
            "waiting_until": waiting.until,
            "waiting_cause": waiting.cause,
            "queue_reason": QueueReason.ACCEPTED,
            "queue_detail": "",
            "next_try_at": None,
        },
        event=EventDraft(
            type=EventType.WAITING,
            text=f"{'paused' if waiting.wait_for.is_pause else 'waits'}: {waiting.cause}",
            data={
                "for": waiting.wait_for,
                **({"step": waiting.step} if waiting.step else {}),
                **({"until": iso(waiting.until)} if waiting.until else {}),
                **data,
            },
        ),
    )
