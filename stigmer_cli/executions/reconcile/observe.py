"""Observing: what Temporal says about an execution, asked by id. The list of workflows lags; Describe does not.

If another Temporal took a group of rows, and no run ever claimed them, one is looked up and its answer counts for all:
what another Temporal took is not here, and to submit it again is safe even if that were wrong. So the repair after
Temporal lost its memory is limited only by the speed of its starts.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.progress import BEGINNING, Progress
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.judgement.observation import Observation, look_up

AT_ONCE_MAX = 8
"""Describe comes near its ceiling here; more only queues inside Temporal, and starts beside it wait longer."""

MOVED = "the connection to Temporal moved while it was asked"


class ProgressReader(Protocol):
    """Who knows how far executions have come by their own record."""

    async def read(self, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, Progress]:
        """The progress of those of `ids` of which anything is recorded."""


async def observe(
    executions: Sequence[Execution], gateway: TemporalGateway, link: TemporalLink, records: ProgressReader
) -> Sequence[Observation]:
    """An observation of each submitted execution, in order; Temporal's absence is `unknown`, never `not found`.

    The record is read where it decides: of those that a run has claimed and Temporal does not know. A missing workflow
    is `unknown`, too, if the connection changed meanwhile: a page may take seconds, and moves are written after the
    last answer.
    """
    before = (link.status().state, link.generation)
    gate = asyncio.Semaphore(AT_ONCE_MAX)
    known = await _observe_taken_elsewhere(executions, gateway, link)

    async def one(execution: Execution) -> Observation:
        if execution.id in known:
            return known[execution.id]
        async with gate:
            return await look_up(execution, gateway)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(execution), name=f"observe {execution.id}") for execution in executions]
    observations = [task.result() for task in tasks]
    if (link.status().state, link.generation) == before:
        return await _add_progress(observations, records)
    return [
        replace(one, is_elsewhere=False, unknown=one.unknown or MOVED) if _is_gone(one) else one for one in observations
    ]


async def _add_progress(observations: Sequence[Observation], records: ProgressReader) -> Sequence[Observation]:
    ids = [one.execution.id for one in observations if _is_interrupted(one)]
    known = await records.read(ids) if ids else {}
    return [replace(one, progress=known.get(one.execution.id, BEGINNING)) for one in observations]


def _is_interrupted(observation: Observation) -> bool:
    """Whether a run has claimed it, and Temporal has forgotten that run."""
    is_gone = _is_gone(observation) or observation.is_another_run
    return is_gone and not observation.unknown and observation.execution.phase is Phase.IN_PROGRESS


def _is_gone(observation: Observation) -> bool:
    """Whether the execution was submitted and Temporal has no workflow for it."""
    return observation.execution.dispatch.is_submitted and observation.seen is None


async def _observe_taken_elsewhere(
    executions: Sequence[Execution], gateway: TemporalGateway, link: TemporalLink
) -> Mapping[ExecutionId, Observation]:
    """Observations of those that another Temporal took, if the one that answers now says that the first is not here.

    If it says anything else, only that observation of the first.
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
