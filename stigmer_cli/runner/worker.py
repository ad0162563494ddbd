"""The runner: keeps one worker on at the task queue, relieves it when Temporal came back, and drains when it stops.

Starts before Temporal or the server do, and outlives both. On a reconnect a new worker begins beside the old one,
which then ends what it had begun: five times faster than waiting for the old one's polls to try again.
"""

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib.metadata import version

import structlog

from stigmer_cli.backoff import Backoff
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock, ClockWatch, Jump
from stigmer_cli.credential import ensure_token
from stigmer_cli.runner.activities import Activities
from stigmer_cli.runner.chance import Chance
from stigmer_cli.runner.look import Look, Silent, look_at
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.native_log import tell_native_log
from stigmer_cli.runner.relief import PARKED, STALE_MAX_S, STALE_OWN_MAX_S, Known, relief_cause
from stigmer_cli.runner.reports import Reporter, Reports
from stigmer_cli.runner.shift import Shift, begin_shift
from stigmer_cli.runner.stopping import Stopping
from stigmer_cli.settings import Settings
from stigmer_cli.supervisor.process import myself
from stigmer_cli.supervisor.sign_of_life import show_life
from stigmer_cli.temporal.connection import Connection, ConnectionState
from stigmer_cli.temporal.dial import Dialer, SdkDialer
from stigmer_cli.temporal.errors import cause_of
from stigmer_cli.temporal.target import target_of
from stigmer_cli.watchdog import LoopWatch

GRACE_S = 3.0
"""What is being performed may go on for this long after SIGTERM; then it is handed back."""

FORCE_S = 4.0
"""Then the process ends, whatever the SDK's native side still waits for (FACTS: up to 35 s, or a crash)."""

LOOK_EVERY_S = 2.0
LOOK_AGAIN_S = 0.5
"""While the task queue has not shown the worker yet, or its client was silent."""

PATIENCE_MAX = 32
RETIRING_MAX = 2
"""Workers that still end what they had begun; a flapping link must not pile them up."""

NAME = "runner"
"""What the stack calls this process."""

VERSION = version("stigmer-cli")
"""Told in the worker's identity: Temporal shows that to everybody, and doctor compares it with its own."""

REBUILD = Backoff(initial_s=0.1, factor=2.0, cap_s=5.0)


class Crew:
    """The worker that is on, and those that are on their way out."""

    def __init__(
        self,
        connection: Connection,
        reports: Reports,
        models: Catalog,
        chance: Chance,
        *,
        stale_max_s: float = STALE_MAX_S,
    ) -> None:
        self.stopping = Stopping()
        self._alone = asyncio.Lock()
        self.on: Shift | None = None
        self._connection = connection
        self._dialer: Dialer = SdkDialer()
        self._reporter = Reporter(reports, chance)
        self._models = models
        self._chance = chance
        self._clock = chance.clock
        self._retiring: set[str] = set()
        self._count = 0
        self._failures = 0
        self._is_waiting = False
        self._stale_max_s = stale_max_s
        self._patience = 1
        self._log = structlog.get_logger()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Keep a worker on until asked to stop; workers are tasks of `group`. Then drain until all ended."""
        while not self.stopping.asked.is_set():
            moves = self._connection.moves
            await self.run_once(group)
            await self._until_something_happens(moves)
        await self._drain(group)

    async def run_once(self, group: asyncio.TaskGroup) -> None:
        """Look once: begin a worker where none is well, and retire the one that it relieves."""
        if self._connection.status().state is not ConnectionState.CONNECTED:
            self._say_waiting()
            return
        self._is_waiting = False
        before = self.on
        cause = "there is none" if before is None else relief_cause(await self._known(before))
        if cause is None or len(self._retiring) >= RETIRING_MAX:
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
        server = None if self.stopping.asked.is_set() else await self._reporter.identity()
        if server is None:
            return None
        self._count += 1
        me = myself()
        identity = f"stigmer-runner/{me.pid}@{socket.gethostname()}/{self._count}-{me.tag}/{VERSION}"
        generation = self._connection.generation
        self._log.info("worker_wanted", worker=identity, cause=cause)
        self._failures += 1
        try:
            async with asyncio.timeout(self._connection.pace.dial_s):
                session = await self._dialer.dial(self._connection.target, identity=identity)
            shift = await begin_shift(
                session,
                self._activities(identity),
                task_queue=server.task_queues[0],
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
            reporter=self._reporter,
            models=self._models,
            runner=identity,
            stopping=self.stopping,
            chance=self._chance,
            alone=self._alone,
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
            stale_max_s=self._stale_max_s,
            patience=self._patience,
        )

    async def _look(self, shift: Shift) -> Look | None:
        try:
            look = await look_at(
                shift.own_client,
                task_queue=shift.task_queue,
                identity=shift.identity,
                within_s=self._connection.pace.probe_s,
            )
        except Silent:
            shift.silences += 1
            return None
        shift.silences = 0
        return look

    async def _until_something_happens(self, moves: int) -> None:
        """Wait for the stop, a move of the connection after its first `moves`, a broken worker, or the next look."""
        shift = self.on
        is_well = shift is not None and shift.is_seen and not shift.silences and not shift.broken.is_set()
        waits: list[Callable[[], Awaitable[object]]] = [
            self.stopping.asked.wait,
            lambda: self._connection.wait_moved(moves),
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
        self._retiring.add(shift.identity)
        self._log.info("worker_draining", worker=shift.identity)
        group.create_task(self._retired(shift), name=f"retire {shift.identity}")

    async def _retired(self, shift: Shift) -> None:
        await shift.retire()
        self._retiring.discard(shift.identity)

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        self._log.info("runner_draining", grace_s=GRACE_S)
        if self.on is not None:
            self._retire(group, self.on)
        deadline = self._clock.monotonic() + GRACE_S
        while self._retiring and self._clock.monotonic() < deadline:
            await self._clock.sleep(0.02)
        self.stopping.now.set()
        while self._retiring:
            await self._clock.sleep(0.02)


async def work(settings: Settings, *, clock: Clock, rng: random.Random, reports: Reports, stop: asyncio.Event) -> None:
    """Take up runs until `stop` is set, then drain.

    Returns when the last worker has ended, which is usually at once and at most GRACE_S later, unless Temporal is away:
    then the SDK may take half a minute, and the caller has to end the process.
    """
    target = replace(target_of(settings), is_own=False)  # the server looks after it
    identity = f"stigmer-runner/{os.getpid()}@{socket.gethostname()}"
    connection = Connection(target, clock=clock, rng=rng, identity=identity)
    models = Catalog(settings, clock=clock)
    crew = Crew(
        connection,
        reports,
        models,
        Chance(clock=clock, rng=rng),
        stale_max_s=STALE_OWN_MAX_S if settings.runs_own_temporal else STALE_MAX_S,
    )

    def clock_jumped(jump: Jump) -> None:
        structlog.get_logger().warning("clock_jumped", **jump.facts())
        connection.hurry()

    watch = LoopWatch(clock=clock, part="runner")
    gc.freeze()  # as in the server: what the start left behind stays, and to look through it again takes 0.1 s
    async with asyncio.TaskGroup() as group:
        aside = [
            group.create_task(watch.run(), name="watchdog"),
            group.create_task(ClockWatch(clock, jumped=clock_jumped).run(), name="clock"),
            group.create_task(connection.run(), name="connection"),
            group.create_task(show_life(settings.home.run, NAME), name="sign of life"),
            group.create_task(_pass_on(stop, crew.stopping.asked), name="stop"),
        ]
        await crew.run(group)
        await models.close()
        for task in aside:
            task.cancel()


async def run_runner(settings: Settings, *, clock: Clock) -> int:
    """The runner as a process: SIGTERM and SIGINT drain it, and FORCE_S after the first of them it is gone.

    Returns the exit code 0. A second SIGINT ends it at once, with 130.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(exit_code_again: int) -> None:
        if stop.is_set():
            os._exit(exit_code_again)
        stop.set()
        _end_process_after(FORCE_S)

    loop.add_signal_handler(signal.SIGTERM, on_signal, 0)
    loop.add_signal_handler(signal.SIGINT, on_signal, 130)
    tell_native_log()
    # Failed activities are logged by us, with their kind; the SDK's own line says it again with a stack.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    rng = random.Random()  # noqa: S311 - spreads waits, keeps no secret
    async with Client(
        settings.server_target,
        lambda: settings.token or ensure_token(settings.home),
        ca_file=settings.server_ca_file,
        is_insecure_allowed=settings.is_insecure_allowed,
    ) as reports:
        await work(settings, clock=clock, rng=rng, reports=reports, stop=stop)
    structlog.get_logger().info("runner_stopped")
    return 0


async def first_of(waits: list[Callable[[], Awaitable[object]]]) -> None:
    """Return when one of `waits` does; the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_awaited(wait)) for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _awaited(wait: Callable[[], Awaitable[object]]) -> None:
    await wait()


async def _pass_on(event: asyncio.Event, to: asyncio.Event) -> None:
    await event.wait()
    to.set()


def _end_process_after(delay_s: float) -> None:
    """From a thread, because what hangs may be the event loop."""
    timer = threading.Timer(delay_s, os._exit, (0,))
    timer.daemon = True
    timer.start()
