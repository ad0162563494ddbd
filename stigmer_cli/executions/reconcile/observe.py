"""Looking: what Temporal says about an execution, asked by id. The list of workflows lags; Describe does not.

Where Temporal is another one than took the rows, and no run ever claimed them, one is asked about and stands for all:
what was taken elsewhere is not here, and to submit it again is safe even if that were wrong. A Temporal that lost its
memory is then brought up to date at the pace of its starts alone.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.judgement.observation import Observation, look_up

AT_ONCE_MAX = 8
"""Describe comes near its ceiling here; more only queues inside Temporal, and starts beside it wait longer."""

MOVED = "the connection to Temporal moved while it was asked"


async def observe(
    executions: Sequence[Execution], gateway: TemporalGateway, link: TemporalLink
) -> Sequence[Observation]:
    """An observation of each submitted execution, in order; Temporal's absence is `unknown`, never `not found`.

    That none was there is `unknown`, too, where the connection moved meanwhile: a page may take seconds, and what is
    concluded of it is written after the last answer.
    """
    before = (link.status().state, link.generation)
    gate = asyncio.Semaphore(AT_ONCE_MAX)
    known = await _taken_elsewhere(executions, gateway, link)

    async def one(execution: Execution) -> Observation:
        if execution.id in known:
            return known[execution.id]
        async with gate:
            return await look_up(execution, gateway)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(execution), name=f"observe {execution.id}") for execution in executions]
    observations = [task.result() for task in tasks]
    if (link.status().state, link.generation) == before:
        return observations
    return [
        replace(one, is_elsewhere=False, unknown=one.unknown or MOVED) if _is_gone(one) else one for one in observations
    ]


def _is_gone(observation: Observation) -> bool:
    """Whether it would be said of one that was submitted that Temporal has no workflow for it."""
    return observation.execution.dispatch.is_submitted and observation.seen is None


async def _taken_elsewhere(
    executions: Sequence[Execution], gateway: TemporalGateway, link: TemporalLink
) -> Mapping[ExecutionId, Observation]:
    """Observations of those that another Temporal took, if the one that answers now says that the first is not here.

    Where it says anything else, that observation of the first alone.
    """
    status = link.status()
    if status.state is not ConnectionState.CONNECTED or status.cluster is None:
        return {}
    found = [
        execution
        for execution in executions
        if execution.phase is Phase.PENDING and execution.dispatch.cluster not in (None, status.cluster)
    ]
    if not found:
        return {}
    first = await look_up(found[0], gateway)
    if first.seen is not None or first.unknown:
        return {first.execution.id: first}
    return {execution.id: Observation(execution=execution, is_elsewhere=True) for execution in found}
