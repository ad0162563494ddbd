"""The server process as the simulation runs it: what `serve` puts together, without HTTP."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from stigmer_cli.errors import Unavailable
from stigmer_cli.executions.accept import Acceptor
from stigmer_cli.executions.admission import Admission
from stigmer_cli.executions.canceller import Canceller
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.notifier import Notifier
from stigmer_cli.executions.reconcile.reconciler import Reconciler
from stigmer_cli.executions.waker import Waker
from stigmer_cli.store.store import Store
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.gateway import Gateway
from tests.simulation.reports import ServerDied
from tests.simulation.temporal import SimTemporal
from tests.support.ids import STORE

AGAIN_S = 1.0


@dataclass
class Server:
    """Its parts, and the loops that it lives by."""

    connection: Connection
    dispatcher: Dispatcher
    acceptor: Acceptor
    loops: list[Callable[[], Awaitable[None]]]

    @classmethod
    def build(cls, store: Store, temporal: SimTemporal, notifier: Notifier, ids: IdGenerator) -> "Server":
        clock, rng = temporal.clock, random.Random(temporal.rng.random())
        target = Target(address="127.0.0.1:7233")
        connection = Connection(target, clock=clock, rng=rng, identity="server", dialer=temporal)
        gateway = Gateway(connection, store=STORE, clock=clock, rng=rng)
        dispatcher = Dispatcher(store, gateway, connection, clock=clock, rng=rng)
        canceller = Canceller(store, gateway, connection, clock=clock)
        reconciler = Reconciler(store, gateway, connection, clock=clock, resubmitted=dispatcher.nudge)
        admission = Admission(clock=clock, is_full=lambda: False)
        acceptor = Acceptor(store, connection, dispatcher, notifier, admission=admission, clock=clock, ids=ids)
        waker = Waker(store, clock=clock, woken=dispatcher.nudge)
        store.runs.on_turn = dispatcher.nudge
        store.children.on_woken(dispatcher.nudge)
        loops: list[Callable[[], Awaitable[None]]] = [
            connection.run,
            dispatcher.run,
            canceller.run,
            waker.run,
            reconciler.run,
        ]
        return cls(connection, dispatcher, acceptor, loops)

    async def run(self) -> None:
        """All loops until cancelled, or until one of them dies."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in self.loops:
                    group.create_task(_awaited(loop))
        except* ServerDied:
            pass  # that is what it was to do


async def _awaited(loop: Callable[[], Awaitable[None]]) -> None:
    """Run `loop`, again where the store took too long: a machine that slept has timers that went off meanwhile."""
    while True:
        with suppress(Unavailable):
            await loop()
        await asyncio.sleep(AGAIN_S)
