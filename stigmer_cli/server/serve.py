"""The composition root of the server: makes every part, and runs them as one: if one ends, all end."""

import asyncio
import gc
import os
import random
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import structlog
import uvicorn

from stigmer_cli.clock import Clock, ClockWatch, Jump, until_next_s
from stigmer_cli.credential import FileToken, ensure_token
from stigmer_cli.errors import StoreMissing
from stigmer_cli.executions.accept import Acceptor
from stigmer_cli.executions.admission import Admission
from stigmer_cli.executions.canceller import Canceller
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.executions.event_retention import EventRetention
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.notifier import Notifier
from stigmer_cli.executions.pollers import PollerWatch
from stigmer_cli.executions.reconcile.lease import reclaim_lease
from stigmer_cli.executions.reconcile.on_request import Reconciling
from stigmer_cli.executions.reconcile.reconciler import Reconciler
from stigmer_cli.executions.retention import Retention
from stigmer_cli.executions.scheduler import Scheduler
from stigmer_cli.executions.stuck_watch import StuckWatch
from stigmer_cli.executions.waker import Waker
from stigmer_cli.host_names import own_host_name
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.server.app import Application
from stigmer_cli.server.cluster_identity import ClusterWatch
from stigmer_cli.server.connections import KEPT_S, HttpConnection
from stigmer_cli.server.counted_gateway import CountedGateway
from stigmer_cli.server.listen import ServerTls, check_settings, load_tls, open_listener, url_of
from stigmer_cli.server.metrics import Metrics
from stigmer_cli.server.outages import Loop, Outages
from stigmer_cli.server.ready import ReadyCheck
from stigmer_cli.server.registry import ServerRegistry
from stigmer_cli.server.services import Services
from stigmer_cli.server.vault import Vault
from stigmer_cli.settings import LOOPBACK, ReconcileMode, Settings
from stigmer_cli.store.servers import ServerRecord
from stigmer_cli.store.store import Store, open_store
from stigmer_cli.store_record import check_store, check_store_file, write_store_record
from stigmer_cli.temporal.connection import Connection
from stigmer_cli.temporal.gateway import Gateway
from stigmer_cli.temporal.target import target_of
from stigmer_cli.waits import wait_at_most
from stigmer_cli.watchdog import LoopWatch

NOTICE_S, NOTICE_ELSEWHERE_S = 0.1, 5.0
"""How long everything is answered after SIGTERM while /readyz says no: balancers look once in a second or two."""

GRACE_S, GRACE_ELSEWHERE_S = 1, 2
"""How long what was asked before may then still take. With the notice and the store's end it is what `down` allows."""

TICK_S, TICKS = 1.0, 10
"""The time between two ticks, and how many of uvicorn's own that stands for: it writes a new date after ten of them."""


log = structlog.get_logger()


async def serve(settings: Settings, *, clock: Clock) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a stop that was asked for.

    Raises ConfigError where it would be reached by others without a token or in the clear, or its certificate cannot
    be used; MachineError where the port is taken, or the store is in use or cannot be used; what ends a loop ends all.
    """
    check_settings(settings)
    tls = load_tls(settings, clock=clock)
    listener = open_listener(settings)
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        token = _token_source(settings)
        notifier = Notifier()
        store = await _open_own_store(settings, clock, stack)
        if not store.is_shared:
            await reclaim_lease(store)
        await store.sync_clock()
        store.events.on_change = notifier.notify
        try:
            await _Server(settings, store, notifier, clock).run(listener, token, tls)
        except BaseExceptionGroup as group:
            raise _first_cause(group) from group
    return 0


async def _open_own_store(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Store:
    """The store of the home, recorded, and closed by `stack`; raises StoreMissing where it is gone, or another one."""
    try:
        recorded = check_store_file(settings)
        store = await open_store(settings.database_target, clock=clock, owner=url_of(settings))
        stack.push_async_callback(store.close)
        check_store(settings, store.id, recorded)
    except StoreMissing as error:
        log.error("server_refused", code=error.code, cause=error.message)  # noqa: TRY400 - its sentence says it all
        raise
    with suppress(OSError):  # a home that cannot be written is no error
        write_store_record(settings, store.id)
    return store


class _Server:
    """The parts, wired; one object per process."""

    def __init__(self, settings: Settings, store: Store, notifier: Notifier, clock: Clock) -> None:
        rng = random.Random(secrets.randbits(128))  # noqa: S311 - jitter and ids, no secrets
        self.settings = settings
        # By the store's the rows are written and judged; our own, which the watch looks at, may be set, or wrong.
        own_clock, self.clock = clock, (clock := store.clock)
        self.metrics = Metrics()
        store.runs.on_usage = store.steps.on_usage = self.metrics.models.record_usage
        record = _record_of(settings, ids := IdGenerator(clock, rng))
        self.registry = ServerRegistry(store, record, clock=clock, request=settings.home.adoption_file)
        self.registry.link = self.connection = self._make_connection(rng)
        gateway = self._make_gateway(store, rng)
        self.dispatcher = Dispatcher(store, gateway, self.connection, clock=clock, rng=rng)
        self._wire_dispatcher(store)
        self.canceller = Canceller(store, gateway, self.connection, clock=clock)
        self.reconciler = Reconciler(store, gateway, self.connection, clock=clock, resubmitted=self.dispatcher.nudge)
        self.reconciler.observer = self.metrics
        self.waker = Waker(store, clock=clock, woken=self.dispatcher.nudge)
        self.scheduler = Scheduler(store, clock=clock, started=self.dispatcher.nudge)
        self.pollers = PollerWatch(gateway, self.connection, clock=clock, is_only_server=not store.is_shared)
        self.admission = Admission(clock=clock, is_full=lambda: bool(self.pollers.describe_full()))
        self.stuck = self._make_stuck_watch(store, gateway)
        self.cluster = ClusterWatch(store, self.connection, clock=clock)
        self.watch = LoopWatch(clock=clock, observer=self.metrics)
        self.clock_watch = ClockWatch(own_clock, jumped=self._hurry_all)
        self.services = Services(
            server_id=record.id,
            registry=self.registry,
            settings=settings,
            clock=clock,
            store=store,
            link=self.connection,
            notifier=notifier,
            ids=ids,
            admission=self.admission,
            acceptor=self._make_acceptor(store, notifier, ids),
            dispatcher=self.dispatcher,
            scheduler=self.scheduler,
            canceller=self.canceller,
            pollers=self.pollers,
            cluster=self.cluster,
            loop=self.watch,
            outages=Outages(clock),
            clock_watch=self.clock_watch,
            reconciling=self._make_reconciling(store, gateway),
            stuck=self.stuck,
            metrics=self.metrics,
            ready=ReadyCheck(store, clock=clock),
            vault=Vault(store, settings),
            started_at=clock.now(),
        )

    def _make_gateway(self, store: Store, rng: random.Random) -> CountedGateway:
        return CountedGateway(Gateway(self.connection, store=store.id, clock=self.clock, rng=rng), self.metrics)

    def _wire_dispatcher(self, store: Store) -> None:
        self.dispatcher.observe(self.metrics)
        store.runs.on_turn = self.dispatcher.nudge
        store.children.on_woken(self.dispatcher.nudge)

    def _make_acceptor(self, store: Store, notifier: Notifier, ids: IdGenerator) -> Acceptor:
        return Acceptor(
            store, self.connection, self.dispatcher, notifier, admission=self.admission, clock=self.clock, ids=ids
        )

    def _retention_loops(self) -> Sequence[Loop]:
        kept_s = self.settings.retention_s
        store, clock = self.services.store, self.clock
        events = EventRetention(store, kept_s=self.settings.event_retention_s, clock=clock)
        return [events.run, *([] if kept_s is None else [Retention(store, kept_s=kept_s, clock=clock).run])]

    def _make_stuck_watch(self, store: Store, gateway: CountedGateway) -> StuckWatch:
        watch = StuckWatch(store, gateway, self.connection, polling=lambda: self.pollers.polling, clock=self.clock)
        watch.observer = self.metrics
        watch.is_submitting = lambda: self.dispatcher.is_submitting
        return watch

    def _make_reconciling(self, store: Store, gateway: CountedGateway) -> Reconciling:
        reconciling = Reconciling(store, gateway, self.connection, self.dispatcher, clock=self.clock)
        reconciling.observer = self.metrics
        reconciling.withdraw = self.canceller.withdraw
        return reconciling

    def _make_connection(self, rng: random.Random) -> Connection:
        return Connection(
            target_of(self.settings),
            clock=self.clock,
            rng=rng,
            identity=f"stigmer-server/{os.getpid()}",
            observer=self.metrics,
            admit=self.registry.admit,
        )

    async def run(self, listener: socket.socket, token: Callable[[], str | None], tls: ServerTls | None) -> None:
        """HTTP and the loops in one group: if one fails, all end, and the supervisor restarts the process."""
        application = Application(self.services, token=token)
        http = _http_server(application, tls, self.settings, self.clock)
        loops = [
            *([tls.run] if tls else []),
            self.watch.run,
            self.clock_watch.run,
            *([self.services.store.keep_clock_in_sync] if self.services.store.is_shared else []),
            self.registry.run,
            self.connection.run,
            self.dispatcher.run,
            self.canceller.run,
            self.waker.run,
            self.scheduler.run,
            self.pollers.run,
            self.cluster.run,
            self.stuck.run,
            *([self.reconciler.run] if self.settings.reconcile is ReconcileMode.AUTO else []),
            *self._retention_loops(),
        ]
        async with asyncio.TaskGroup() as group, _stop_signals(self._make_stop(http)):
            tasks = [
                group.create_task(self.services.outages.run_through(loop), name=f"loop {loop.__qualname__}")
                for loop in loops
            ]
            tasks.append(group.create_task(application.load(), name="late routes"))
            gc.freeze()  # what the start left behind stays; each scan of it blocked for 0.1 s
            log.info("server_started", url=url_of(self.settings), temporal=self.settings.temporal_target)
            await http.serve(sockets=[listener])
            for task in tasks:
                task.cancel()
        log.info("server_stopped")

    def _make_stop(self, http: "_Http") -> Callable[[int], None]:
        """What a signal does: /readyz says no at once; `notice_s` later, or at a second signal, the server closes."""
        notice_s = NOTICE_S if _is_alone(self.settings) else NOTICE_ELSEWHERE_S

        def stop(number: int) -> None:
            log.info("server_stopping", signal=signal.Signals(number).name, closes_in_s=notice_s)
            if self.services.ready.is_stopping:
                http.close()
            self.services.ready.is_stopping = True
            asyncio.get_running_loop().call_later(notice_s, http.close)

        return stop

    def _hurry_all(self, jump: Jump) -> None:
        """Everything that waits for a time of the wall clock, or slept, is due now."""
        log.warning("clock_jumped", **jump.facts())
        self.connection.hurry()
        self.dispatcher.nudge()
        self.canceller.nudge()
        self.waker.notice_clock()
        self.scheduler.nudge()
        self.reconciler.hurry()


def _record_of(settings: Settings, ids: IdGenerator) -> ServerRecord:
    """This process, as the other servers of its store shall know it."""
    return ServerRecord(
        id=ids.server_id(),
        version=RUNNING_VERSION,
        host=own_host_name(),
        pid=os.getpid(),
        address=settings.temporal_target,
    )


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What ended everything, out of however many groups it is wrapped in."""
    cause = group.exceptions[0]
    return _first_cause(cause) if isinstance(cause, BaseExceptionGroup) else cause


class _Http(uvicorn.Server):
    """uvicorn without its own signal handling: it re-raises SIGTERM after its stop, and the store stays open."""

    def __init__(self, config: uvicorn.Config, clock: Clock) -> None:
        super().__init__(config)
        self._clock = clock
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Stop serving, at once."""
        self.should_exit = True
        self._closing.set()

    async def main_loop(self) -> None:
        """Return once it is closed; uvicorn's own looks for that ten times a second, and is late by as much."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += TICKS
            await wait_at_most(until_next_s(TICK_S, self._clock), self._closing.wait())

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Left to `_stop_signals`."""
        yield


def _is_alone(settings: Settings) -> bool:
    """Whether only this machine asks, and no balancer has to notice that the server ends."""
    return settings.listen == LOOPBACK and not settings.behind_proxy


def _http_server(app: object, tls: ServerTls | None, settings: Settings, clock: Clock) -> _Http:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S if _is_alone(settings) else GRACE_ELSEWHERE_S,
        timeout_keep_alive=KEPT_S,
        http=HttpConnection,
        workers=1,  # else those of WEB_CONCURRENCY, which need not be a number
        ws="none",
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips="*" if settings.behind_proxy else None,
        ssl_context_factory=(lambda _config, _default: tls.context) if tls else None,
    )
    return _Http(config, clock)


@asynccontextmanager
async def _stop_signals(stop: Callable[[int], None]) -> AsyncIterator[None]:
    """SIGTERM and SIGINT stop the HTTP server, and with it everything."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _token_source(settings: Settings) -> Callable[[], str | None]:
    """Where the guard reads the token: the setting, or the file each time it has changed."""
    if settings.token:
        return lambda: settings.token
    ensure_token(settings.home)
    return FileToken(settings.home)
