"""Looking: what Temporal says about an execution, asked by id. The list of workflows lags; Describe does not."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from stigmer_cli.domain.execution import Execution
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.ports import TemporalGateway
from stigmer_cli.temporal.gateway import Observed, RunState

AT_ONCE_MAX = 32
"""Describe reaches its ceiling at a concurrency of 10; more only queues inside Temporal."""

ENDED_BADLY = frozenset({RunState.FAILED, RunState.TERMINATED, RunState.TIMED_OUT})


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A row and its workflow at one moment. `seen` is None where Temporal proved that there is none.

    `unknown` is why nothing may be concluded; empty where `seen` can be trusted. `failure` says how a run ended badly.
    """

    execution: Execution
    seen: Observed | None = None
    unknown: str = ""
    failure: str = ""


async def observe(executions: Sequence[Execution], gateway: TemporalGateway) -> Sequence[Sighting]:
    """A sighting of each submitted execution, in order; Temporal's absence is `unknown`, never `not found`."""
    gate = asyncio.Semaphore(AT_ONCE_MAX)

    async def one(execution: Execution) -> Sighting:
        async with gate:
            return await _sight(execution, gateway)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(execution), name=f"observe {execution.id}") for execution in executions]
    return [task.result() for task in tasks]


async def _sight(execution: Execution, gateway: TemporalGateway) -> Sighting:
    if not execution.dispatch.is_submitted:
        return Sighting(execution=execution)
    try:
        seen = await gateway.describe(execution=execution.id, kind=execution.kind, epoch=execution.epoch)
        failure = ""
        if seen is not None and seen.state in ENDED_BADLY:
            failure = await gateway.result_failure(execution=execution.id, kind=execution.kind, epoch=execution.epoch)
    except StigmerError as error:  # whatever it is, it is no proof of anything
        return Sighting(execution=execution, unknown=error.message)
    return Sighting(execution=execution, seen=seen, failure=failure)
