"""A real Temporal on a file, and a connection to it that runs for the length of a test."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.temporal.connection import Connection
from stigmer_cli.temporal.dial import Dialer
from stigmer_cli.temporal.target import Pace, Target
from tests.support.temporal_server import DevServer


@pytest.fixture
def temporal(tmp_path: Path) -> Iterator[DevServer]:
    with DevServer(tmp_path, file=tmp_path / "temporal.db") as server:
        yield server


@asynccontextmanager
async def connected(
    target: Target, *, dialer: Dialer | None = None, pace: Pace | None = None
) -> AsyncIterator[Connection]:
    """A connection to `target` that runs inside the block."""
    connection = Connection(
        target, clock=SystemClock(), rng=random.Random(1), identity="test", dialer=dialer, pace=pace
    )
    async with asyncio.TaskGroup() as group:
        owner = group.create_task(connection.run())
        try:
            yield connection
        finally:
            owner.cancel()


@asynccontextmanager
async def connection_to(
    server: DevServer, *, namespace: str = "default", is_own: bool = False
) -> AsyncIterator[Connection]:
    """A connection to `server` that runs inside the block."""
    async with connected(Target(address=server.address, namespace=namespace, is_own=is_own)) as connection:
        yield connection
