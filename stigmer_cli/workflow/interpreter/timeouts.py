"""Timeouts of tasks and of the workflow, which come out the same on every replay."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.interpreter.run import Flow, Run
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Waits


async def run_in_time(run: Run, holder: Mapping[str, Json], key: str, body: Callable[[], Awaitable[Flow]]) -> Flow:
    """What `body` leaves within the timeout of `holder`, if that has one. Raises WorkflowError of the type timeout."""
    timeout = holder.get("timeout")
    if timeout is None:
        return await body()
    named = run.use.get("timeouts", {}).get(timeout) if isinstance(timeout, str) else timeout
    limit_ms = run.parse_duration(cast("Mapping[str, Json]", named)["after"])
    return await run_within(run, limit_ms, key, body)


async def run_within(run: Run, limit_ms: int, key: str, body: Callable[[], Awaitable[Flow]]) -> Flow:
    """The same with a limit in milliseconds.

    The deadline is recorded, and so is whether it was met: a replay neither gets more time, nor runs out of it in what
    was done in time before.
    """

    async def set_deadline() -> Json:
        return run.world.now_ms() + limit_ms

    deadline_ms = cast("int", await run.perform(f"{key}/deadline", "deadline", limit_ms, set_deadline))
    verdict = await run.world.journal.find(f"{key}/timeout")
    if verdict is False:  # it was met: whatever the clock says now
        return await body()
    if verdict is None and deadline_ms > run.world.now_ms():
        flow = await _run_until(run, deadline_ms, key, body)
        if flow is not None:
            return flow
    await _record(run, key, is_missed=True)
    raise make_error(ErrorType.TIMEOUT, f"it was not done within {limit_ms / 1_000:g} s")


async def _run_until(run: Run, deadline_ms: int, key: str, body: Callable[[], Awaitable[Flow]]) -> Flow | None:
    """What `body` leaves, or raises, in time, which is recorded; None where it was cancelled at the deadline."""
    timer = asyncio.timeout((deadline_ms - run.world.now_ms()) / 1_000)
    try:
        async with timer:
            flow = await body()
    except Waits as waits:
        raise waits.limit(deadline_ms) from waits
    except TimeoutError:
        if not timer.expired():
            raise
        return None
    except WorkflowError:  # it failed in time, and does so on each replay
        await _record(run, key, is_missed=False)
        raise
    await _record(run, key, is_missed=False)
    return flow


async def _record(run: Run, key: str, *, is_missed: bool) -> None:
    async def judge() -> Json:
        return is_missed

    await run.perform(f"{key}/timeout", "timeout", None, judge)
