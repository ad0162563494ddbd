"""The Temporal that the simulation runs on keeps the contract that the real gateway on a real Temporal keeps."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.gateway import Gateway
from tests.contracts.gateway.conftest import execution  # noqa: F401 - a fixture of the suite
from tests.contracts.gateway.test_gateway import *  # noqa: F403 - the suite itself
from tests.simulation.temporal import SimTemporal
from tests.support.ids import STORE, workflow
from tests.support.polling import eventually


class SimulatedWorld:
    """The real gateway and connection, on the simulated Temporal, in real time."""

    def __init__(self, temporal: SimTemporal, connection: Connection) -> None:
        self.temporal = temporal
        self.connection = connection
        self.gateway = Gateway(connection, store=STORE, clock=SystemClock(), rng=random.Random(1))

    async def terminate(self, execution: ExecutionId) -> None:  # noqa: F811 - the suite's own name for it
        self.temporal.terminate(self.temporal.runs[workflow(execution).id])

    async def lose_namespace(self) -> None:
        self.temporal.conditions.has_namespace = False
        await self._until(ConnectionState.MISCONFIGURED)

    async def go_away(self) -> None:
        self.temporal.conditions.is_up = False
        await self._until(ConnectionState.DISCONNECTED)

    async def _until(self, state: ConnectionState) -> None:
        async def is_so() -> bool:
            return self.connection.status().state is state

        await eventually(is_so, within_s=5)


@pytest.fixture
async def subject() -> AsyncIterator[SimulatedWorld]:
    async with asyncio.TaskGroup() as group:
        temporal = SimTemporal(rng=random.Random(1), group=group, clock=SystemClock())
        target = Target(address="127.0.0.1:7233")
        connection = Connection(target, clock=SystemClock(), rng=random.Random(2), identity="test", dialer=temporal)
        owner = group.create_task(connection.run())
        await connection.wait_connected()
        yield SimulatedWorld(temporal, connection)
        owner.cancel()
