"""The runner: learns from its server which task queues its store has, keeps a worker pool at each, drains at the end.

Starts before Temporal or the server do, and outlives both. Until a server has said which store it serves, the runner
does not poll, and dials no Temporal that nobody named: it would take up the work of others.
"""

import asyncio
import gc
import logging
import os
import random
import signal
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import structlog

from stigmer_cli.api.identity import RunnerLoad
from stigmer_cli.client import Client
from stigmer_cli.clock import SKEW_MAX, Clock, ClockWatch, Jump, iso, until_next_s
from stigmer_cli.credential import KeptToken
from stigmer_cli.errors import reason_of
from stigmer_cli.host_names import own_host_name
from stigmer_cli.run_reports import RunReports
from stigmer_cli.runner.call.container_engine import ContainerOwner
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.native_log import tell_native_log
from stigmer_cli.runner.poll_gate import MISMATCHED, PollGate
from stigmer_cli.runner.replacement import STALE_MAX_S, STALE_OWN_MAX_S
from stigmer_cli.runner.reports import ClockAndRng, Reporter, Reports
from stigmer_cli.runner.secrets import Secrets
from stigmer_cli.runner.server_link import ServerLink
from stigmer_cli.runner.slots import ACTIVITIES_MAX
from stigmer_cli.runner.worker_pool import PoolContext, WorkerPool
from stigmer_cli.runner.workflows import Workflows
from stigmer_cli.runner_record import RunnerRecord, remove_dead_records, remove_runner_record, write_runner_record
from stigmer_cli.settings import Settings, Source
from stigmer_cli.supervisor.process import myself
from stigmer_cli.supervisor.sign_of_life import show_life
from stigmer_cli.temporal.connection import Connection
from stigmer_cli.temporal.target import target_of
from stigmer_cli.time_format import parse_span
from stigmer_cli.tool_server.connection import ServerSettings
from stigmer_cli.waits import first_of
from stigmer_cli.watchdog import LoopWatch

FORCE_S = 4.0
"""Then the process ends, whatever the SDK's native side still waits for (FACTS: up to 35 s, or a crash)."""

CHECK_EVERY_S = 2.0

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

NAME = "runner"
"""What the stack calls this process."""


class Runner:
    """One runner process: its link to the server, its connection to Temporal, and a worker pool for each task queue."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        rng: random.Random,
        reports: Reports,
        environ: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        """`environ` holds keys of providers of models; tool servers are given some variables of it."""
        self._settings = settings
        self._clock = clock
        target = replace(target_of(settings), is_own=False)  # the server looks after it
        identity = f"stigmer-runner/{os.getpid()}@{own_host_name()}"
        self._connection = Connection(target, clock=clock, rng=rng, identity=identity)
        self._pools: dict[str, WorkerPool] = {}
        self._link = ServerLink(
            reports, url=settings.server_target, clock=clock, load=lambda: self._measure_load(identity)
        )
        self._gate = PollGate(self._link, self._connection, clock=clock)
        clock_and_rng = ClockAndRng(clock=clock, rng=rng)
        reporter = Reporter(reports, clock_and_rng)
        self._models = Catalog(settings, clock=clock, secrets=Secrets(reporter), environ=environ)
        tool_settings = ServerSettings(
            environ=environ,
            silent_s=parse_span(settings.tool_silent_for),
            proxies=settings.proxies,
            run=settings.home.run,
        )
        self._tool_settings = tool_settings
        self._workflows = Workflows(reporter, clock_and_rng, tool_settings)
        self._context = PoolContext(
            connection=self._connection,
            gate=self._gate,
            reporter=reporter,
            models=self._models,
            clock_and_rng=clock_and_rng,
            model_retry=ModelRetry(for_s=settings.model_retry_for_s, on_exhausted=settings.on_exhausted),
            tool_settings=tool_settings,
            workflows=self._workflows,
            stale_max_s=STALE_OWN_MAX_S if settings.runs_own_temporal else STALE_MAX_S,
        )
        self._working: list[asyncio.Task[None]] = []
        self._told = ("", "", "", 0.0)
        self._log = structlog.get_logger()

    async def run(self, stop: asyncio.Event) -> None:
        """Take up runs until `stop` is set, then drain; raises InstallationChanged where it had to drain for that.

        Returns when the last worker has ended, which is usually at once and at most GRACE_S later, unless Temporal is
        away: then the SDK may take half a minute, and the caller has to end the process.
        """
        watch = LoopWatch(clock=self._clock, part="runner")
        gc.freeze()  # as in the server: what the start left behind stays, and to look through it again takes 0.1 s
        async with asyncio.TaskGroup() as group:
            aside = [
                group.create_task(watch.run(), name="watchdog"),
                group.create_task(ClockWatch(self._clock, jumped=self._clock_jumped).run(), name="clock"),
                group.create_task(self._link.run(), name="server link"),
                group.create_task(self._connect(), name="connection"),
                group.create_task(self._remove_left_containers(), name="containers of earlier runners"),
                group.create_task(show_life(self._settings.home.run, NAME), name="sign of life"),
            ]
            await self._work_until(stop, group)
            await self._drain()
            for task in aside:
                task.cancel()
        if self._context.unfit.error is not None:
            raise self._context.unfit.error

    def _clock_jumped(self, jump: Jump) -> None:
        self._log.warning("clock_jumped", **jump.facts())
        self._connection.hurry()

    async def _remove_left_containers(self) -> None:
        found = self._tool_settings
        await ContainerOwner(found.run).remove_left(found.environ, found.environ.get("PATH", ""))

    async def _connect(self) -> None:
        """Dial Temporal: at once where somebody has said which, else not before a server is known to be there."""
        while not self._link.status.is_served and not _is_temporal_told(self._settings):
            await self._link.wait_changed(self._link.changes)
        await self._connection.run()

    async def _work_until(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        unfit = self._context.unfit.noted
        while not (stop.is_set() or unfit.is_set()):
            moved = partial(self._link.wait_changed, self._link.changes)
            next_check = partial(self._clock.sleep, until_next_s(CHECK_EVERY_S, self._clock))
            self.run_once(group)
            await self._record()
            await first_of([stop.wait, unfit.wait, moved, next_check])

    def run_once(self, group: asyncio.TaskGroup) -> None:
        """Have a worker pool at each task queue that the server names, and none at any other of its store.

        While no server answers, the pools stay: they know by themselves that they must not poll.
        """
        if not self._link.status.is_served:
            return
        wanted = self._link.task_queues
        for task_queue in wanted:
            if task_queue not in self._pools:
                pool = WorkerPool(self._context, task_queue)
                self._pools[task_queue] = pool
                self._working.append(group.create_task(pool.run(group), name=f"pool {task_queue}"))
        for task_queue in [name for name in self._pools if name not in wanted]:
            pool = self._pools.pop(task_queue)
            self._log.warning("task_queue_left", task_queue=task_queue)
            pool.stop_signal.now.set()  # the server takes no reports about it any more
            pool.stop_signal.asked.set()

    def _measure_load(self, identity: str) -> RunnerLoad | None:
        """The slots of the current workers; None while there is no worker."""
        workers = [pool.current for pool in self._pools.values() if pool.current is not None]
        if not workers:
            return None
        busy = sum(worker.slots.busy for worker in workers)
        return RunnerLoad(runner=identity, busy=busy, slots=len(workers) * ACTIVITIES_MAX)

    async def _drain(self) -> None:
        for pool in self._pools.values():
            pool.stop_signal.asked.set()
        if self._working:
            await asyncio.wait(self._working)
        await self._models.close()
        await self._workflows.close()
        remove_runner_record(self._settings.home)

    # -- what others are told

    async def _record(self) -> None:
        """Say in the home how the runner stands, where that has changed."""
        status, mismatch = self._link.status, self._gate.mismatch
        state = MISMATCHED if mismatch else status.state.value
        store = status.server.store_id if status.server else ""
        ahead_s = self._told[3]
        if abs(self._link.clock_ahead_s - ahead_s) > SKEW_MAX.total_seconds():
            ahead_s = round(self._link.clock_ahead_s, 1)
            self._log.warning("clock_differs", ahead_of_server_s=ahead_s)
        told = (state, mismatch or status.cause, store, ahead_s)
        if told == self._told:
            return
        is_first, self._told = not self._told[0], told
        if mismatch:
            self._log.warning("runner_waiting", waits_for="temporal", state=state, cause=mismatch)
        await asyncio.to_thread(self._write, told, is_first=is_first)

    def _write(self, told: tuple[str, str, str, float], *, is_first: bool) -> None:
        home, (state, cause, store, ahead_s) = self._settings.home, told
        if is_first:
            remove_dead_records(home)
        try:
            me = myself()
            record = RunnerRecord(
                pid=me.pid,
                mark=me.mark,
                state=state,
                cause=cause,
                server=self._settings.server_target,
                since=iso(self._clock.now()),
                store=store or None,
                clock_ahead_s=ahead_s,
            )
            write_runner_record(home, record)
        except OSError as error:
            self._log.warning("runner_record_not_written", cause=reason_of(error))


def _is_temporal_told(settings: Settings) -> bool:
    """Whether the address of Temporal is more than the default, which may be that of another stack."""
    names = ("temporal_address", "temporal_port")
    return any(settings.sources.get(name, Source.DEFAULT) is not Source.DEFAULT for name in names)


async def run_runner(settings: Settings, *, clock: Clock, environ: Mapping[str, str] = NO_VARIABLES) -> int:
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
    rng, kept = random.Random(), KeptToken(settings.home)  # noqa: S311 - spreads waits, keeps no secret
    async with Client(
        settings.server_target,
        lambda: settings.token or kept(),
        ca_file=settings.server_ca_file,
        is_insecure_allowed=settings.is_insecure_allowed,
    ) as client:
        await Runner(settings, clock=clock, rng=rng, reports=RunReports(client), environ=environ).run(stop)
    structlog.get_logger().info("runner_stopped")
    return 0


def _end_process_after(delay_s: float) -> None:
    """From a thread, because what hangs may be the event loop."""
    timer = threading.Timer(delay_s, os._exit, (0,))
    timer.daemon = True
    timer.start()
