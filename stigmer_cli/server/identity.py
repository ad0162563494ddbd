"""Who this server is, for runners and commands that must not take another one for it."""

from pydantic import BaseModel, Field

from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.domain.identity import LEGACY_TASK_QUEUE, task_queue_of
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.server.services import Services

RUNNER_MAX = 400


class IdentityQuery(BaseModel):
    """What a runner says with its question: its name, and how many of its slots are taken."""

    runner: str | None = Field(default=None, max_length=RUNNER_MAX)
    busy: int = Field(default=0, ge=0)
    slots: int = Field(default=0, ge=0)


async def describe_identity(called: Services, query: IdentityQuery) -> Identity:
    """The server, its store, the Temporal it is connected to, and the task queues that its runners poll."""
    if query.runner:
        called.pollers.record_load(RunnerLoad(runner=query.runner, busy=query.busy, slots=query.slots))
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
