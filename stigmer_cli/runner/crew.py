"""The crew of one task queue: keeps one worker on, relieves it when Temporal came back, and retires it with its server.

    no worker ──Temporal and a server of the store are there──▶ on ──broken, parked, Temporal came back──▶ relieved by
        ▲                                                       │                                        a new one
        └───────────── no server of the store ──────────────────┘

On a reconnect a new worker begins beside the old one, which then ends what it had begun: five times faster than waiting
for the old one's polls to try again. Without a server the worker is retired: claims go back at once, and what is being
performed goes back after `HAND_BACK_S`, if another runner is there to take it up.
"""

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version

import structlog

from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import Clock
from stigmer_cli.runner.activities import Activities
from stigmer_cli.runner.chance import Chance
from stigmer_cli.runner.look import Look, Silent, look_at, others_poll
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.poll_gate import PollGate
from stigmer_cli.runner.relief import PARKED, STALE_MAX_S, Known, relief_cause
from stigmer_cli.runner.reports import Reporter
from stigmer_cli.runner.shift import Shift, begin_shift
from stigmer_cli.runner.stopping import Stopping
from stigmer_cli.supervisor.process import myself
from stigmer_cli.temporal.connection import Connection, ConnectionState
from stigmer_cli.temporal.dial import Dialer, SdkDialer
from stigmer_cli.temporal.errors import cause_of

GRACE_S = 3.0
"""What is being performed may go on for this long after SIGTERM; then it is handed back."""

HAND_BACK_S = 5.0
"""For so long a performance waits for its server to come back: one that is started again takes two or three."""

LOOK_EVERY_S = 2.0
LOOK_AGAIN_S = 0.5
"""While the task queue has not shown the worker yet, or its client was silent."""

PATIENCE_MAX = 32
RETIRING_MAX = 2
"""Workers that still end what they had begun; a flapping link must not pile them up."""

VERSION = version("stigmer-cli")
"""Told in the worker's identity: Temporal shows that to everybody, and doctor compares it with its own."""

REBUILD = Backoff(initial_s=0.1, factor=2.0, cap_s=5.0)


@dataclass(frozen=True, kw_only=True)
class CrewContext:
    """What all crews of a runner work with.

    `alone` lets one performance that may kill the runner run at a time; `numbers` make the names of workers differ.
    """

    connection: Connection
    gate: PollGate
    reporter: Reporter
    models: Catalog
    chance: Chance
    stale_max_s: float = STALE_MAX_S
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))


class Crew:
    """The worker that is on, and those that are on their way out."""

    def __init__(self, context: CrewContext, task_queue: str) -> None:
        self.task_queue = task_queue
        self.stopping = Stopping()
        self.on: Shift | None = None
        self._context = context
        self._connection = context.connection
        self._gate = context.gate
        self._dialer: Dialer = SdkDialer()
        self._chance = context.chance
        self._clock: Clock = context.chance.clock
        self._retiring: dict[str, Shift] = {}
        self._failures = 0
        self._is_waiting = False
        self._patience = 1
        self._log = structlog.get_logger()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Keep a worker on until asked to stop; workers are tasks of `group`. Then drain until all ended."""
        while not self.stopping.asked.is_set():
            moves, turns = self._connection.moves, self._gate.turns
            await self.run_once(group)
            await self._until_something_happens(moves, turns)
        await self._drain(group)

    async def run_once(self, group: asyncio.TaskGroup) -> None:
        """Look once: begin a worker where none is well, and retire the one that it relieves, or that has no server."""
        closed = self._gate.why_closed(self.task_queue)
        if closed:
            self._abandon(group, closed)
            return
        if self._connection.status().state is not ConnectionState.CONNECTED:
            self._say_waiting()
            return
        self._is_waiting = False
        before = self.on
        cause = "there is none" if before is None else relief_cause(await self._known(before))
        if cause is None or not self._has_room():
            return
        fresh = await self._begun(group, cause)
        if fresh is None:
            return
        self.on = fresh
        if before is not None:
            is_in_vain = cause in PARKED and before.hands.took_at is None
            self._patience = min(self._patience * 2, PATIENCE_MAX) if is_in_vain else 1
            self._retire(group, before)

    # -- beginning

    async def _begun(self, group: asyncio.TaskGroup, cause: str) -> Shift | None:
        """A new worker, running; None where it could not be built now."""
        if self._failures:
            delay_s = REBUILD.delay_s(self._failures, self._chance.rng)
            await first_of([self.stopping.asked.wait, lambda: self._clock.sleep(delay_s)])
        if self.stopping.asked.is_set() or self._gate.why_shut(self.task_queue):
            return None
        identity = f"{runner_prefix()}{next(self._context.numbers)}-{myself().tag}/{VERSION}"
        generation = self._connection.generation
        self._log.info("worker_wanted", worker=identity, cause=cause)
        self._failures += 1
        try:
            async with asyncio.timeout(self._connection.pace.dial_s):
                session = await self._dialer.dial(self._connection.target, identity=identity)
            shift = await begin_shift(
                session,
                self._activities(identity),
                task_queue=self.task_queue,
                generation=generation,
                began=self._clock.monotonic(),
            )
        except Exception as error:  # noqa: BLE001 - as for the connection's own dial: the next look tries again
            words = cause_of(error, self._connection.target)
            self._connection.report_failure(words)
            self._log.warning("worker_not_built", worker=identity, cause=words)
            return None
        group.create_task(shift.run(), name=identity)
        return shift

    def _activities(self, identity: str) -> Activities:
        return Activities(
            reporter=self._context.reporter,
            models=self._context.models,
            runner=identity,
            stopping=Stopping(),
            chance=self._chance,
            alone=self._context.alone,
        )

    # -- looking

    async def _known(self, shift: Shift) -> Known:
        look = await self._look(shift)
        if look is not None and look.accessed_at is not None and not shift.is_seen:
            shift.is_seen = True
            self._failures = 0
            self._log.info("worker_seen", worker=shift.identity)
        now, began = self._clock.monotonic(), shift.began
        return Known(
            is_broken=shift.broken.is_set(),
            is_of_this_connection=shift.generation == self._connection.generation,
            is_seen=shift.is_seen,
            age_s=now - began,
            # No answer is no verdict.
            access_age_s=0.0 if look is None else shift.access_age_s(look.accessed_at, now=now),
            free_s=shift.hands.free_s(now=now, began=began),
            idle_s=shift.hands.idle_s(now=now, began=began),
            waits_s=look.waits_s if look else 0.0,
            silences=shift.silences,
            stale_max_s=self._context.stale_max_s,
            patience=self._patience,
        )

    async def _look(self, shift: Shift) -> Look | None:
        try:
            look = await look_at(
                shift.own_client,
                task_queue=self.task_queue,
                identity=shift.identity,
                within_s=self._connection.pace.probe_s,
            )
        except Silent:
            shift.silences += 1
            return None
        shift.silences = 0
        return look

    async def _until_something_happens(self, moves: int, turns: int) -> None:
        """Wait for the stop, a move of the connection or a turn of the gate, a broken worker, or the next look."""
        shift = self.on
        is_well = shift is not None and shift.is_seen and not shift.silences and not shift.broken.is_set()
        waits: list[Callable[[], Awaitable[object]]] = [
            self.stopping.asked.wait,
            lambda: self._connection.wait_moved(moves),
            lambda: self._gate.wait_turned(turns),
            lambda: self._clock.sleep(LOOK_EVERY_S if is_well else LOOK_AGAIN_S),
        ]
        if shift is not None and not shift.broken.is_set():
            waits.append(shift.broken.wait)
        await first_of(waits)

    def _say_waiting(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            status = self._connection.status()
            self._log.info("runner_waiting", waits_for="temporal", address=status.address, cause=status.cause)

    # -- ending

    def _retire(self, group: asyncio.TaskGroup, shift: Shift) -> None:
        self._retiring[shift.identity] = shift
        self._log.info("worker_draining", worker=shift.identity)
        group.create_task(self._retired(shift), name=f"retire {shift.identity}")

    async def _retired(self, shift: Shift) -> None:
        await shift.retire()
        self._retiring.pop(shift.identity, None)

    def _abandon(self, group: asyncio.TaskGroup, cause: str) -> None:
        """Take up nothing without a server: what waits for it is handed back at once, what is performed later."""
        shift, self.on = self.on, None
        if shift is None:
            return
        self._log.warning("worker_without_server", worker=shift.identity, cause=cause)
        shift.stopping.asked.set()
        self._retire(group, shift)
        group.create_task(self._handed_back(shift), name=f"hand back {shift.identity}")

    async def _handed_back(self, shift: Shift) -> None:
        """Return once `shift` has ended; hand back what it performs once its server is away for too long.

        Where no other runner polls, nobody would take it up: then it waits for its server, and nothing is done twice.
        """
        while not shift.ended.is_set():
            if self._gate.closed_s(self.task_queue) > HAND_BACK_S and await self._others_poll(shift):
                self._log.warning("work_handed_back", worker=shift.identity)
                shift.stopping.now.set()
                return
            await first_of([shift.ended.wait, lambda: self._clock.sleep(LOOK_AGAIN_S)])

    async def _others_poll(self, shift: Shift) -> bool:
        return await others_poll(
            shift.own_client,
            task_queue=self.task_queue,
            prefix=runner_prefix(),
            within_s=self._connection.pace.probe_s,
        )

    def _has_room(self) -> bool:
        """Whether one more worker may begin; where none is on, the oldest that is ending hands its work back."""
        if len(self._retiring) < RETIRING_MAX:
            return True
        if self.on is None:
            next(iter(self._retiring.values())).stopping.now.set()
        return False

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        self._log.info("runner_draining", task_queue=self.task_queue, grace_s=GRACE_S)
        if self.on is not None:
            self._retire(group, self.on)
        for shift in self._retiring.values():
            shift.stopping.asked.set()
        deadline = self._clock.monotonic() + GRACE_S
        while self._retiring and self._clock.monotonic() < deadline and not self.stopping.now.is_set():
            await self._clock.sleep(0.02)
        for shift in self._retiring.values():
            shift.stopping.now.set()
        while self._retiring:
            await self._clock.sleep(0.02)


def runner_prefix() -> str:
    """How the identities of all workers of this process begin."""
    return f"stigmer-runner/{myself().pid}@{socket.gethostname()}/"


async def first_of(waits: list[Callable[[], Awaitable[object]]]) -> None:
    """Return when one of `waits` does; the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_awaited(wait)) for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _awaited(wait: Callable[[], Awaitable[object]]) -> None:
    await wait()
