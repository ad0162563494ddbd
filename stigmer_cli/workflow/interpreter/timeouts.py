"""Timeouts of tasks and of the workflow, which come out the same on every replay."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from stigmer_cli.domain.step import NOT_IN_TIME
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.interpreter.run import Flow, Run
from stigmer_cli.workflow.interpreter.scope import Scope
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Waits

Body = Callable[[], Awaitable[Flow]]


async def run_in_time(run: Run, holder: Mapping[str, Json], key: str, given: Json, scope: Scope, body: Body) -> Flow:
    """What `body` leaves within the timeout of `holder`, if that has one; expressions in it are evaluated on `given`.

    Raises WorkflowError of the type timeout.
    """
    timeout = holder.get("timeout")
    if timeout is None:
        return await body()
    named = run.use.get("timeouts", {}).get(timeout) if isinstance(timeout, str) else timeout
    limit_ms = await run.read_duration(cast("Mapping[str, Json]", named)["after"], given, scope)
    return await run_within(run, limit_ms, key, scope, body)


async def run_within(run: Run, limit_ms: int, key: str, scope: Scope, body: Body) -> Flow:
    """The same with a limit in milliseconds.

    The deadline is recorded, and so is whether it was met: a replay neither gets more time, nor runs out of it in what
    was done in time before. What a body that ran out of time had exported is lost, since a replay does not run it.
    """
    deadline_ms = await run.set_time(f"{key}/deadline", "deadline", limit_ms)
    verdict = await run.find(f"{key}/timeout")
    if verdict is False:  # it was met: whatever the clock says now
        return await body()
    if isinstance(verdict, Mapping):
        run.count_tasks(cast("int", verdict["tasks"]))
    elif deadline_ms > run.world.now_ms():
        before = scope.context.branch()
        flow = await _run_until(run, deadline_ms, key, body)
        if flow is not None:
            return flow
        scope.context.restore(before)
    await _record(run, key, {"tasks": run.tasks_begun})
    await run.cut_off([key])
    raise make_error(ErrorType.TIMEOUT, f"{NOT_IN_TIME} {limit_ms / 1_000:g} s")


async def _run_until(run: Run, deadline_ms: int, key: str, body: Body) -> Flow | None:
    """What `body` leaves, or raises, in time, which is recorded; None where it was cancelled at the deadline."""
    timer = asyncio.timeout((deadline_ms - run.world.now_ms()) / 1_000)
    try:
        async with timer:
            flow = await body()
    except Waits as waits:
        limited = waits.limit(deadline_ms)
        if limited.until_ms == deadline_ms and await run.world.has_passed(limited.key, deadline_ms):
            return None
        raise limited from waits
    except TimeoutError:
        if not timer.expired():
            raise
        return None
    except WorkflowError:  # it failed in time, and does so on each replay
        await _record(run, key, verdict=False)
        raise
    await _record(run, key, verdict=False)
    return flow


async def _record(run: Run, key: str, verdict: Json) -> None:
    """False: the deadline was met. It was not: how many tasks had begun by then."""

    async def judge() -> Json:
        return verdict

    await run.perform(f"{key}/timeout", "timeout", None, judge)
