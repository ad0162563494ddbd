"""A real Temporal on a file, and a connection to it that runs for the length of a test."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.temporal.connection import Connection, Target
from tests.temporal_server import DevServer


@pytest.fixture
def temporal(tmp_path: Path) -> Iterator[DevServer]:
    with DevServer(tmp_path, file=tmp_path / "temporal.db") as server:
        yield server


@asynccontextmanager
async def connection_to(
    server: DevServer, *, namespace: str = "default", is_own: bool = False
) -> AsyncIterator[Connection]:
    """A connection that runs inside the block."""
    target = Target(address=server.address, namespace=namespace, is_own=is_own)
    connection = Connection(target, clock=SystemClock(), rng=random.Random(1), identity="test")
    async with asyncio.TaskGroup() as group:
        owner = group.create_task(connection.run())
        try:
            yield connection
        finally:
            owner.cancel()
