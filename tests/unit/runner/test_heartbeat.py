"""What leaves an activity: results, ends, and failures without a word of content."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from stigmer_cli.errors import Conflict
from stigmer_cli.runner.heartbeat import FAILED, ModelPostponed, Overtaken, run_with_heartbeat
from stigmer_cli.runner.reports import ReportFailed, ReportRefused
from tests.support.fakes_temporal import LoopClock, in_virtual_time


def carry_out(work: Callable[[], Awaitable[str]], *, ends_after_s: float | None = None) -> tuple[str, int]:
    """The result, and how many heartbeats there were."""

    async def main() -> tuple[str, int]:
        ends, beats = asyncio.Event(), 0

        def beat(*_details: object) -> None:
            nonlocal beats
            beats += 1

        environment = ActivityEnvironment()
        environment.on_heartbeat = beat
        if ends_after_s is not None:
            asyncio.get_running_loop().call_later(ends_after_s, ends.set)

        async def activity() -> str:
            return await run_with_heartbeat(work, clock=LoopClock(), ends=ends)

        result = await environment.run(activity)
        return result, beats

    return in_virtual_time(main())


async def two_seconds() -> str:
    await asyncio.sleep(2)
    return "done"


def test_a_sign_of_life_is_given_twice_a_second() -> None:
    assert carry_out(two_seconds) == ("done", 3)


def failing(error: Exception) -> Callable[[], Awaitable[str]]:
    async def fail() -> str:
        async with asyncio.TaskGroup():
            raise error

    return fail


@pytest.mark.parametrize(
    ("error", "kind", "is_final"),
    [
        (ValueError("the secret word"), "unexpected", False),
        (ModelPostponed("the secret word", delay_s=3.0), "model-busy", False),
        (ReportRefused("the secret word"), "report-refused", True),
        (Conflict("the secret word"), "report-conflict", False),
        (ReportFailed("the secret word"), "report-failed", False),
        (Overtaken("the secret word", delay_s=0.1), "overtaken", False),
    ],
)
def test_a_failure_carries_its_kind_and_nothing_that_somebody_said(error: Exception, kind: str, is_final: bool) -> None:  # noqa: FBT001 - a column of the table
    with pytest.raises(ApplicationError) as caught:
        carry_out(failing(error))
    found = caught.value
    assert (found.message, found.type, found.non_retryable, found.__cause__) == (FAILED, kind, is_final, None)


def test_a_runner_that_stops_hands_its_work_back() -> None:
    with pytest.raises(ApplicationError) as caught:
        carry_out(two_seconds, ends_after_s=1)
    assert caught.value.type == "runner-stopped"
