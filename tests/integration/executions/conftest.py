"""The loops on a real SQLite file, beside a Temporal that behaves as the test wants."""

import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import AgentSpec, EventType, Execution
from stigmer_cli.executions.accept import Acceptor, SubmitRequest
from stigmer_cli.executions.admission import Admission
from stigmer_cli.executions.canceller import Canceller
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.executions.notifier import Notifier
from stigmer_cli.executions.reconcile.reconciler import Reconciler
from stigmer_cli.judgement.plan import Rules
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.store.store import Store, open_store
from stigmer_cli.temporal.gateway import RunState
from tests.support.fakes import SwitchedLink
from tests.support.fakes_temporal import InMemoryGateway

MEMORY = Path("/dev/shm")


@dataclass
class Harness:
    """Every part, and short ways to say what happens."""

    store: Store
    gateway: InMemoryGateway
    link: SwitchedLink
    dispatcher: Dispatcher
    canceller: Canceller
    reconciler: Reconciler
    acceptor: Acceptor
    ids: IdGenerator

    async def accept(self, key: str | None = None, policy: SubmitPolicy = SubmitPolicy.QUEUE) -> Execution:
        """Accept one execution of `greeter`; nobody submits it unless the dispatcher runs."""
        return await self.acceptor.accept(
            SubmitRequest(agent="greeter", message="hello", idempotency_key=key), policy=policy
        )

    async def get(self, execution: Execution) -> Execution:
        """The row now."""
        return await self.store.executions.get(execution.id)

    def disconnect(self) -> None:
        """Temporal refuses connections."""
        self.link.put(ConnectionState.DISCONNECTED, cause="connection refused")

    async def event_types(self, execution: Execution) -> list[EventType]:
        """The types of its events, in order."""
        return [event.type for event in await self.store.events.list(execution.id)]

    def forget(self, execution: Execution) -> None:
        """Temporal loses its memory of one execution."""
        for name in [name for name in self.gateway.runs if execution.id in name]:
            del self.gateway.runs[name]

    def close(self, execution: Execution, state: RunState, failure: str = "") -> None:
        """The run of one execution ends in Temporal."""
        for name, run in self.gateway.runs.items():
            if execution.id in name:
                run.state, run.failure = state, failure


async def submitted(harness: Harness) -> Execution:
    """One that Temporal has taken; accepted while it was away, because otherwise accepting waits for the submit."""
    harness.link.put(ConnectionState.DISCONNECTED)
    execution = await harness.accept()
    harness.link.put(ConnectionState.CONNECTED)
    await harness.dispatcher.run_once()
    return await harness.get(execution)


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """Where writes need no disk: hundreds of them, none of which has to survive a power cut."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
async def harness(quick_folder: Path) -> AsyncIterator[Harness]:
    clock, rng, notifier = SystemClock(), random.Random(1), Notifier()
    store = await open_store(f"sqlite:///{quick_folder}/stigmer.db", clock=clock)
    try:
        store.events.on_change = notifier.notify
        gateway, link, ids = InMemoryGateway(clock=clock), SwitchedLink(), IdGenerator(clock, rng)
        dispatcher = Dispatcher(store, gateway, link, clock=clock, rng=rng)
        admission = Admission(clock=clock, is_full=lambda: False)
        agent = AgentDraft(
            id=ids.agent_id(), name="greeter", slug="greeter", labels={}, annotations={}, spec=AgentSpec()
        )
        await store.agents.apply([agent])
        yield Harness(
            store=store,
            gateway=gateway,
            link=link,
            dispatcher=dispatcher,
            canceller=Canceller(store, gateway, link, clock=clock),
            reconciler=Reconciler(
                store, gateway, link, clock=clock, resubmitted=dispatcher.nudge, rules=Rules(grace_s=0.0)
            ),
            acceptor=Acceptor(store, link, dispatcher, notifier, admission=admission, clock=clock, ids=ids),
            ids=ids,
        )
    finally:
        await store.close()
