"""Work inside an activity: heartbeats while it lasts, an end when the runner stops, and failures without content."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from stigmer_cli.clock import Clock
from stigmer_cli.errors import Conflict, StigmerError
from stigmer_cli.runner.contract import SENTENCES, FailureKind
from stigmer_cli.runner.reports import ReportFailed, ReportRefused, WrongServer

HEARTBEAT_S = 0.5
FAILED = "the activity failed; why stands in the runner's log"
"""All that Temporal's history learns beside the kind: messages of errors may hold what a model or a person said."""

R = TypeVar("R")


class RunnerStopped(StigmerError):
    """This runner is stopping; another one continues with the next attempt."""

    code = "runner-stopped"


class NotMine(StigmerError):
    """The server's store knows no such execution; its own store starts it again."""

    code = "not-mine"


class Postponed(StigmerError):
    """The next attempt is to begin in `delay_s` seconds."""

    def __init__(self, message: str, *, delay_s: float) -> None:
        super().__init__(message)
        self.delay_s = delay_s


class ModelPostponed(Postponed):
    """The model is busy."""

    code = "model-busy"


class Overtaken(Postponed):
    """A later attempt of this run has begun. Either it is at work, or somebody reset the activity in Temporal.

    Then Temporal counts from 1 again, and only an attempt with a higher number may begin. If this attempt completed
    instead, it would end the run without an outcome.
    """

    code = "overtaken"


KIND_OF: dict[type[Exception], FailureKind] = {
    RunnerStopped: FailureKind.RUNNER_STOPPED,
    WrongServer: FailureKind.RUNNER_STOPPED,
    NotMine: FailureKind.NOT_MINE,
    ModelPostponed: FailureKind.MODEL_BUSY,
    Overtaken: FailureKind.OVERTAKEN,
    ReportRefused: FailureKind.REPORT_REFUSED,
    Conflict: FailureKind.REPORT_CONFLICT,
    ReportFailed: FailureKind.REPORT_FAILED,
}
FINAL = frozenset({FailureKind.REPORT_REFUSED, FailureKind.NOT_MINE, FailureKind.MALFORMED})
"""Kinds that another attempt would end with again."""

TOLD = frozenset({FailureKind.NOT_MINE, FailureKind.MALFORMED})
"""Kinds whose own sentence goes into the history: it holds nothing that anybody said."""


async def run_with_heartbeat(work: Callable[[], Awaitable[R]], *, clock: Clock, ends: asyncio.Event) -> R:
    """What `work` returns, with heartbeats meanwhile; cut off when `ends` is set.

    Raises nothing but ApplicationError with a kind and a fixed text, and CancelledError when Temporal cancels.
    """
    try:
        return await _until_done(work, clock, ends)
    except asyncio.CancelledError:
        structlog.get_logger().info("activity_cancelled", cause=_why_cancelled())
        raise
    except ExceptionGroup as group:
        raise _contain(_leaves(group)) from None


async def run_unless(ends: asyncio.Event, work: Callable[[], Awaitable[R]]) -> R:
    """What `work` returns; cut off when `ends` is set, by RunnerStopped in an ExceptionGroup."""
    async with asyncio.TaskGroup() as group:
        end = group.create_task(_end(ends), name="end")
        result = await work()
        end.cancel()
    return result


async def _until_done(work: Callable[[], Awaitable[R]], clock: Clock, ends: asyncio.Event) -> R:
    async with asyncio.TaskGroup() as group:
        beat = group.create_task(_beat(clock), name="heartbeat")
        end = group.create_task(_end(ends), name="end")
        result = await work()
        beat.cancel()
        end.cancel()
    return result


async def _beat(clock: Clock) -> None:
    """Heartbeats from `HEARTBEAT_S` on: the start was a sign of life, and each costs Temporal a write."""
    while True:
        await clock.sleep(HEARTBEAT_S)
        activity.heartbeat()


async def _end(ends: asyncio.Event) -> None:
    await ends.wait()
    raise RunnerStopped("the runner is stopping")


def _why_cancelled() -> str:
    details = activity.cancellation_details()
    if details is None:
        return "unknown"
    # "Not found" is what a heartbeat hears when its attempt is superseded, or its run is over.
    return "superseded" if details.not_found else "requested" if details.cancel_requested else "other"


def _contain(errors: Sequence[Exception]) -> ApplicationError:
    kinds = [KIND_OF.get(type(error), FailureKind.UNEXPECTED) for error in errors]
    log = structlog.get_logger()
    for error, kind in zip(errors, kinds, strict=True):
        if kind is FailureKind.UNEXPECTED:
            log.error("activity_failed", kind=kind, exc_info=error)
        else:
            log.warning("activity_failed", kind=kind, cause=str(error))
    for error in errors:
        if isinstance(error, Postponed):  # of a busy model the server has been told when the next attempt begins
            delay = timedelta(seconds=error.delay_s)
            return ApplicationError(FAILED, type=KIND_OF[type(error)], next_retry_delay=delay)
    kind = FailureKind.RUNNER_STOPPED if FailureKind.RUNNER_STOPPED in kinds else kinds[0]
    return ApplicationError(SENTENCES[kind] if kind in TOLD else FAILED, type=kind, non_retryable=kind in FINAL)


def _leaves(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
