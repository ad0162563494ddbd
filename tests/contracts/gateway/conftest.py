"""Both gateways behind one face: the one in memory, and the real one on a real Temporal."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.gateway import Gateway, RunState
from stigmer_cli.temporal.target import LOOPBACK
from tests.support.fakes_temporal import InMemoryGateway
from tests.support.ids import STORE, workflow
from tests.support.polling import until_true
from tests.support.temporal_server import DevServer, client_of, dev_server

PATIENT = replace(LOOPBACK, probe_s=10.0, call_s=10.0, dial_s=10.0)
"""The contract is about answers; how soon they must come is the business of others."""


class GatewayUnderTest(Protocol):
    """A gateway, and what happens to the Temporal behind it."""

    @property
    def gateway(self) -> Gateway | InMemoryGateway: ...

    async def terminate(self, execution: ExecutionId) -> None:
        """Somebody ends the workflow in Temporal."""

    async def lose_namespace(self) -> None:
        """The namespace is not there any more."""

    async def go_away(self) -> None:
        """Nobody listens any more."""


class FakeWorld:
    def __init__(self) -> None:
        self.gateway = InMemoryGateway(clock=SystemClock())

    async def terminate(self, execution: ExecutionId) -> None:
        name = workflow(execution).id
        self.gateway.close(name, RunState.TERMINATED, "the run was terminated in Temporal by test: enough")

    async def lose_namespace(self) -> None:
        self.gateway.lose_namespace()

    async def go_away(self) -> None:
        self.gateway.be_unreachable()


class RealGateway:
    def __init__(self, server: DevServer, connection: Connection, group: asyncio.TaskGroup) -> None:
        self._server = server
        self._group = group
        self._owners: list[asyncio.Task[None]] = []
        self.connection = self._started(connection)
        self.gateway = _gateway(connection)

    async def terminate(self, execution: ExecutionId) -> None:
        client = await client_of(self._server)
        await client.get_workflow_handle(workflow(execution).id).terminate(reason="enough")

    async def lose_namespace(self) -> None:
        self.connection = self._started(_connection(self._server.address, "no-such-namespace"))
        self.gateway = _gateway(self.connection)
        await self._until(ConnectionState.MISCONFIGURED)

    async def go_away(self) -> None:
        self._server.kill()
        await self._until(ConnectionState.DISCONNECTED)

    def end(self) -> None:
        for owner in self._owners:
            owner.cancel()

    async def _until(self, state: ConnectionState) -> None:
        await until_true(lambda: self.connection.status().state is state, within_s=5)

    def _started(self, connection: Connection) -> Connection:
        self._owners.append(self._group.create_task(connection.run()))
        return connection


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


@pytest.fixture(params=["in-memory", "real"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GatewayUnderTest]:
    if request.param == "in-memory":
        yield FakeWorld()
        return
    if "go_away" in request.node.name:
        with dev_server(tmp_path) as own:
            async for real in _real(own):
                yield real
        return
    async for real in _real(request.getfixturevalue("shared")):
        yield real


@pytest.fixture
def execution(request: pytest.FixtureRequest) -> ExecutionId:
    """An id of this test's own, since the real server is shared."""
    digits = format(abs(hash(request.node.nodeid)) % 36**8, "026d")
    return ExecutionId(f"aex-{digits}")


async def _real(server: DevServer) -> AsyncIterator[RealGateway]:
    async with asyncio.TaskGroup() as group:
        subject = RealGateway(server, _connection(server.address, "default"), group)
        await subject.connection.wait_connected()
        try:
            yield subject
        finally:
            subject.end()


def _connection(address: str, namespace: str) -> Connection:
    target = Target(address=address, namespace=namespace)
    return Connection(target, clock=SystemClock(), rng=random.Random(1), identity="test", pace=PATIENT)


def _gateway(connection: Connection) -> Gateway:
    return Gateway(connection, store=STORE, clock=SystemClock(), rng=random.Random())
