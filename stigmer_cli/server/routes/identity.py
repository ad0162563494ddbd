"""Who this server is, for runners and commands that must not take another one for it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.domain.identity import LEGACY_TASK_QUEUE, task_queue_of
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.server.services import Services, services

RUNNER_MAX = 400

router = APIRouter()
Called = Annotated[Services, Depends(services)]


@router.get("/v1/identity")
async def identity(
    called: Called,
    runner: Annotated[str | None, Query(max_length=RUNNER_MAX)] = None,
    busy: Annotated[int, Query(ge=0)] = 0,
    slots: Annotated[int, Query(ge=0)] = 0,
) -> Identity:
    """The server, its store, the Temporal it is connected to, and the task queues that its runners poll.

    A runner says with it how many of its slots are taken.
    """
    if runner:
        called.pollers.record_load(RunnerLoad(runner=runner, busy=busy, slots=slots))
    status = called.link.status()
    return Identity(
        server_id=called.server_id,
        store_id=called.store.id,
        version=RUNNING_VERSION,
        namespace=status.namespace,
        task_queues=await _task_queues(called),
        temporal_cluster_id=status.cluster_id,
        temporal_namespace_id=status.namespace_id,
        now=called.clock.now(),
    )


async def _task_queues(called: Services) -> list[str]:
    own = task_queue_of(called.store.id)
    return [own, LEGACY_TASK_QUEUE] if await called.store.executions.has_legacy() else [own]
