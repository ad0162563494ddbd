"""Whoever is gone the moment a connection stands is no server, and no traceback either: it is not reachable."""

import asyncio
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from stigmer_cli.client import Client
from stigmer_cli.errors import ServerUnavailable
from stigmer_cli.stack.server_probe import get_json

TRIES = 25
BUSY_S = 0.01
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: closing resets the connection."""


@pytest.fixture
def resetting() -> Iterator[str]:
    """The URL of a port that accepts and resets within moments, as a server that is killed while clients connect."""
    listener, dice = socket.create_server(("127.0.0.1", 0)), random.Random(1)

    def serve() -> None:
        while True:
            try:
                found, _ = listener.accept()
            except OSError:
                return
            time.sleep(dice.uniform(0, 3 * BUSY_S))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            found.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(timeout=5)


async def _be_busy() -> None:
    """Keep the loop from looking at a connection before it has been reset."""
    while True:
        time.sleep(BUSY_S)  # noqa: ASYNC251 - that is the point
        await asyncio.sleep(0)


async def test_a_connection_that_is_reset_at_once_is_a_server_that_is_not_there(resetting: str) -> None:
    busy = asyncio.create_task(_be_busy())
    async with Client(resetting, lambda: "token") as client:
        for _ in range(TRIES):
            with pytest.raises(ServerUnavailable):
                await client.health()
    for _ in range(TRIES):
        with pytest.raises((OSError, ValueError)):
            await get_json(f"{resetting}/v1/health", "token")
    busy.cancel()
