"""One worker of the runner with a client of its own: from its dial to the end of its last activity."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from temporalio.client import Client
from temporalio.worker import PollerBehaviorSimpleMaximum, UnsandboxedWorkflowRunner, Worker

from stigmer_cli.runner.activities import Activities, StopSignal
from stigmer_cli.runner.foreign import ForeignRun, lenient
from stigmer_cli.runner.slots import ACTIVITIES_MAX, Slots
from stigmer_cli.runner.workflow import AgentRun
from stigmer_cli.runner.workflow_run import WorkflowRun
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.temporal.dial import Session

WORKFLOW_TASKS_MAX = 20
CACHED_WORKFLOWS_MAX = 500
POLLS = PollerBehaviorSimpleMaximum(maximum=2)
"""Few, because a frozen runner still holds its polls: each swallows one task, and of an activity one attempt."""

STICKY_MAX = timedelta(seconds=1)
"""A workflow whose worker died waits this long for it, not the SDK's 10 s."""

HEARTBEAT_EVERY = timedelta(seconds=0.5)
"""The SDK would hold heartbeats back for 80 % of their time-out, and one that comes late ends the attempt."""

WORKFLOWS = UnsandboxedWorkflowRunner()
"""The SDK's sandbox makes a workflow's modules anew for each run. By default it reads them from disk again, which fails
once the installation was moved, removed or upgraded. The replay tests run our workflow inside one, so that it does
nothing that the sandbox is there to find."""

ACTIVITIES_END_MAX = timedelta(hours=1)
"""A worker that is replaced finishes its activities; a runner that stops ends them much sooner."""


@dataclass(kw_only=True)
class ManagedWorker:
    """A worker under an identity of its own; `generation` is the connection's when it began."""

    identity: str
    task_queue: str
    generation: int
    worker: Worker
    began: float
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_seen: bool = False
    is_retired: bool = False
    slots: Slots = field(default_factory=Slots)
    stop_signal: StopSignal = field(default_factory=StopSignal)
    client: Client | None = None
    silences: int = 0
    accessed_at: datetime | None = None
    accessed_s: float = 0.0

    def access_age_s(self, accessed_at: datetime | None, *, now: float) -> float | None:
        """How long ago it polled, in seconds of our monotonic clock, now at `now`; None where it is not listed.

        Temporal says when (`accessed_at`), by a clock that is not ours: it polled when that became another moment.
        """
        if accessed_at is None:
            return None
        if accessed_at != self.accessed_at:
            self.accessed_at, self.accessed_s = accessed_at, now
        return now - self.accessed_s

    @property
    def own_client(self) -> Client:
        """The client that it was made with."""
        return self.client or self.worker.client

    async def run(self) -> None:
        """Work until retired or broken; never raises what the SDK raises."""
        log = structlog.get_logger().bind(worker=self.identity)
        log.info("worker_started", task_queue=self.task_queue)
        try:
            await self.worker.run()
        except Exception as error:  # noqa: BLE001 - the SDK raises RuntimeError and more; whatever it is, this one is over
            log.warning("worker_broken", cause=str(error), because=str(error.__cause__ or ""))
        finally:
            self.broken.set()
            self.ended.set()
        log.info("worker_ended")

    async def retire(self) -> None:
        """Accept nothing new and finish what was begun; returns when that is done."""
        self.is_retired = True
        if not self.ended.is_set():
            await self.worker.shutdown()
            await self.ended.wait()


async def build_worker(
    session: Session, activities: Activities, *, task_queue: str, generation: int, began: float
) -> ManagedWorker:
    """A worker on `session`, not running yet.

    Made in a thread, so that the event loop goes on meanwhile.
    """

    async def make() -> ManagedWorker:  # the SDK wants a running loop, though it keeps nothing of it
        return _build(session, activities, task_queue=task_queue, generation=generation, began=began)

    return await asyncio.to_thread(lambda: asyncio.run(make()))


def _build(
    session: Session, activities: Activities, *, task_queue: str, generation: int, began: float
) -> ManagedWorker:
    broken = asyncio.Event()

    async def on_fatal_error(_error: BaseException) -> None:
        broken.set()

    worker = Worker(
        lenient(session.client),
        task_queue=task_queue,
        identity=activities.runner,
        build_id=RUNNING_VERSION,  # else the SDK reads every loaded module from the disk again, to make a hash of them
        workflows=[AgentRun, WorkflowRun, ForeignRun],
        activities=[activities.claim, activities.perform, activities.conclude],
        workflow_runner=WORKFLOWS,
        max_concurrent_activities=ACTIVITIES_MAX,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS_MAX,
        max_cached_workflows=CACHED_WORKFLOWS_MAX,
        workflow_task_poller_behavior=POLLS,
        activity_task_poller_behavior=POLLS,
        sticky_queue_schedule_to_start_timeout=STICKY_MAX,
        max_heartbeat_throttle_interval=HEARTBEAT_EVERY,
        default_heartbeat_throttle_interval=HEARTBEAT_EVERY,
        graceful_shutdown_timeout=ACTIVITIES_END_MAX,
        on_fatal_error=on_fatal_error,
    )
    return ManagedWorker(
        identity=activities.runner,
        task_queue=task_queue,
        generation=generation,
        worker=worker,
        began=began,
        broken=broken,
        slots=activities.slots,
        stop_signal=activities.stop_signal,
        client=session.client,
    )
