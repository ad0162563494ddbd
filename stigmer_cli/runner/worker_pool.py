"""The workers of one task queue: keeps one running, replaces it when Temporal came back, retires it with its server.

    no worker ──Temporal and a server of the store are there──▶ current ──broken, parked, Temporal came back──▶ replaced
        ▲                                                          │
        └──────────────── no server of the store ──────────────────┘

On a reconnect a new worker begins beside the old one, which then ends what it had begun: five times faster than waiting
for the old one's polls to try again. Without a server the worker is retired: claims go back at once, and what is being
performed goes back after `HAND_BACK_S`, if another runner is there to take it up.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import structlog

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import Clock, until_next_s
from stigmer_cli.host_names import own_host_name
from stigmer_cli.runner.activities import Activities, StopSignal, Unfit
from stigmer_cli.runner.managed_worker import ManagedWorker, build_worker
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.poll_gate import PollGate
from stigmer_cli.runner.poller_probe import NoAnswer, PollerProbe, others_poll, probe_poller
from stigmer_cli.runner.replacement import PARKED, STALE_MAX_S, WorkerObservation, replacement_cause
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.workflows import Workflows
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.supervisor.process import myself
from stigmer_cli.temporal.connection import Connection
from stigmer_cli.temporal.dial import Dialer, SdkDialer
from stigmer_cli.temporal.errors import cause_of
from stigmer_cli.tool_server.connection import ServerSettings
from stigmer_cli.waits import first_of

GRACE_S = 3.0
"""What is being performed may go on for this long after SIGTERM; then it is handed back."""

HAND_BACK_S = 5.0
"""For so long an attempt waits for its server to come back: one that is started again takes two or three."""

CHECK_EVERY_S = 2.0
CHECK_AGAIN_S = 0.5
"""While the task queue has not shown the worker yet, or its client was silent."""

PATIENCE_MAX = 32
RETIRING_MAX = 2
"""Workers that still end what they had begun; a flapping link must not pile them up."""

"""Told in the worker's identity: Temporal shows that to everybody, and doctor compares it with its own."""

REBUILD = Backoff(initial_s=0.1, factor=2.0, cap_s=5.0)


@dataclass(frozen=True, kw_only=True)
class PoolContext:
    """What all worker pools of a runner work with.

    `alone` lets one attempt that may kill the runner run at a time; `numbers` make the names of workers differ.
    """

    connection: Connection
    gate: PollGate
    reporter: Reporter
    models: Catalog
    clock_and_rng: ClockAndRng
    model_retry: ModelRetry
    tool_settings: ServerSettings = field(default_factory=ServerSettings)
    workflows: Workflows | None = None
    stale_max_s: float = STALE_MAX_S
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    unfit: Unfit = field(default_factory=Unfit)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))


class WorkerPool:
    """The current worker, and those that are retiring."""

    def __init__(self, context: PoolContext, task_queue: str) -> None:
        self.task_queue = task_queue
        self.stop_signal = StopSignal()
        self.current: ManagedWorker | None = None
        self._context = context
        self._connection = context.connection
        self._gate = context.gate
        self._dialer: Dialer = SdkDialer()
        self._clock_and_rng = context.clock_and_rng
        self._clock: Clock = context.clock_and_rng.clock
        self._retiring: dict[str, ManagedWorker] = {}
        self._failures = 0
        self._is_waiting = False
        self._patience = 1
        self._log = structlog.get_logger()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Keep a worker running until asked to stop; workers are tasks of `group`. Then drain until all ended."""
        while not self.stop_signal.asked.is_set():
            seen, seen_at_gate = self._connection.changes, self._gate.changes
            await self.run_once(group)
            await self._until_something_happens(seen, seen_at_gate)
        await self._drain(group)

    async def run_once(self, group: asyncio.TaskGroup) -> None:
        """Check once: begin a worker where none is well, and retire the one that it replaces, or that has no server."""
        closed = self._gate.why_closed(self.task_queue)
        if closed:
            self._abandon(group, closed)
            return
        if self._connection.status().state is not ConnectionState.CONNECTED:
            self._say_waiting()
            return
        self._is_waiting = False
        before = self.current
        cause = "there is none" if before is None else replacement_cause(await self._observe(before))
        if cause is None or not self._has_room():
            return
        fresh = await self._begin(group, cause)
        if fresh is None:
            return
        self.current = fresh
        if before is not None:
            is_in_vain = cause in PARKED and before.slots.taken_at is None
            self._patience = min(self._patience * 2, PATIENCE_MAX) if is_in_vain else 1
            self._retire(group, before)

    # -- beginning

    async def _begin(self, group: asyncio.TaskGroup, cause: str) -> ManagedWorker | None:
        """A new worker, running; None where it could not be built now."""
        if self._failures:
            delay_s = REBUILD.delay_s(self._failures, self._clock_and_rng.rng)
            await first_of([self.stop_signal.asked.wait, lambda: self._clock.sleep(delay_s)])
        if self.stop_signal.asked.is_set() or self._gate.why_shut(self.task_queue):
            return None
        identity = f"{runner_prefix()}{next(self._context.numbers)}-{myself().tag}/{RUNNING_VERSION}"
        generation = self._connection.generation
        self._log.info("worker_wanted", worker=identity, cause=cause)
        self._failures += 1
        try:
            async with asyncio.timeout(self._connection.pace.dial_s):
                session = await self._dialer.dial(self._connection.target, identity=identity)
            worker = await build_worker(
                session,
                self._activities(identity),
                task_queue=self.task_queue,
                generation=generation,
                began=self._clock.monotonic(),
            )
        except Exception as error:  # noqa: BLE001 - as for the connection's own dial: the next check tries again
            words = cause_of(error, self._connection.target)
            self._connection.report_failure(words)
            self._log.warning("worker_not_built", worker=identity, cause=words)
            return None
        group.create_task(worker.run(), name=identity)
        return worker

    def _activities(self, identity: str) -> Activities:
        return Activities(
            reporter=self._context.reporter,
            models=self._context.models,
            runner=identity,
            stop_signal=StopSignal(),
            clock_and_rng=self._clock_and_rng,
            model_retry=self._context.model_retry,
            tool_settings=self._context.tool_settings,
            workflows=self._context.workflows,
            alone=self._context.alone,
            unfit=self._context.unfit,
        )

    # -- observing

    async def _observe(self, worker: ManagedWorker) -> WorkerObservation:
        probe = await self._probe(worker)
        if probe is not None and probe.accessed_at is not None and not worker.is_seen:
            worker.is_seen = True
            self._failures = 0
            self._log.info("worker_seen", worker=worker.identity)
        now, began = self._clock.monotonic(), worker.began
        return WorkerObservation(
            is_broken=worker.broken.is_set(),
            is_of_this_connection=worker.generation == self._connection.generation,
            is_seen=worker.is_seen,
            age_s=now - began,
            # No answer proves nothing.
            access_age_s=0.0 if probe is None else worker.access_age_s(probe.accessed_at, now=now),
            free_s=worker.slots.free_s(now=now, began=began),
            idle_s=worker.slots.idle_s(now=now, began=began),
            waits_s=probe.waits_s if probe else 0.0,
            silences=worker.silences,
            stale_max_s=self._context.stale_max_s,
            patience=self._patience,
        )

    async def _probe(self, worker: ManagedWorker) -> PollerProbe | None:
        try:
            probe = await probe_poller(
                worker.own_client,
                task_queue=self.task_queue,
                identity=worker.identity,
                within_s=self._connection.pace.probe_s,
            )
        except NoAnswer:
            worker.silences += 1
            return None
        worker.silences = 0
        return probe

    async def _until_something_happens(self, seen: int, seen_at_gate: int) -> None:
        """Wait for the stop, a change of the connection or of the gate, a broken worker, or the next check."""
        worker = self.current
        is_well = worker is not None and worker.is_seen and not worker.silences and not worker.broken.is_set()
        waits: list[Callable[[], Awaitable[object]]] = [
            self.stop_signal.asked.wait,
            lambda: self._connection.wait_changed(seen),
            lambda: self._gate.wait_changed(seen_at_gate),
            lambda: self._clock.sleep(until_next_s(CHECK_EVERY_S, self._clock) if is_well else CHECK_AGAIN_S),
        ]
        if worker is not None and not worker.broken.is_set():
            waits.append(worker.broken.wait)
        await first_of(waits)

    def _say_waiting(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            status = self._connection.status()
            self._log.info("runner_waiting", waits_for="temporal", address=status.address, cause=status.cause)

    # -- ending

    def _retire(self, group: asyncio.TaskGroup, worker: ManagedWorker) -> None:
        self._retiring[worker.identity] = worker
        self._log.info("worker_draining", worker=worker.identity)
        group.create_task(self._finish_retiring(worker), name=f"retire {worker.identity}")

    async def _finish_retiring(self, worker: ManagedWorker) -> None:
        await worker.retire()
        self._retiring.pop(worker.identity, None)

    def _abandon(self, group: asyncio.TaskGroup, cause: str) -> None:
        """Retire a worker without a server: claims are handed back at once, what is performed later."""
        worker, self.current = self.current, None
        if worker is None:
            return
        self._log.warning("worker_without_server", worker=worker.identity, cause=cause)
        worker.stop_signal.asked.set()
        self._retire(group, worker)
        group.create_task(self._hand_back(worker), name=f"hand back {worker.identity}")

    async def _hand_back(self, worker: ManagedWorker) -> None:
        """Return once `worker` has ended; hand back what it performs once its server is away for too long.

        Where no other runner polls, nobody would take it up: then it waits for its server, and nothing is done twice.
        """
        while not worker.ended.is_set():
            if self._gate.closed_s(self.task_queue) > HAND_BACK_S and await self._others_poll(worker):
                self._log.warning("work_handed_back", worker=worker.identity)
                worker.stop_signal.now.set()
                return
            await first_of([worker.ended.wait, lambda: self._clock.sleep(CHECK_AGAIN_S)])

    async def _others_poll(self, worker: ManagedWorker) -> bool:
        return await others_poll(
            worker.own_client,
            task_queue=self.task_queue,
            prefix=runner_prefix(),
            within_s=self._connection.pace.probe_s,
        )

    def _has_room(self) -> bool:
        """Whether one more worker may begin; without a current one, the oldest that is ending hands its work back."""
        if len(self._retiring) < RETIRING_MAX:
            return True
        if self.current is None:
            next(iter(self._retiring.values())).stop_signal.now.set()
        return False

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        self._log.info("runner_draining", task_queue=self.task_queue, grace_s=GRACE_S)
        if self.current is not None:
            self._retire(group, self.current)
        for worker in self._retiring.values():
            worker.stop_signal.asked.set()
        deadline = self._clock.monotonic() + GRACE_S
        while self._retiring and self._clock.monotonic() < deadline and not self.stop_signal.now.is_set():
            await self._clock.sleep(0.02)
        for worker in self._retiring.values():
            worker.stop_signal.now.set()
        while self._retiring:
            await self._clock.sleep(0.02)


def runner_prefix() -> str:
    """How the identities of all workers of this process begin."""
    return f"stigmer-runner/{myself().pid}@{own_host_name()}/"
