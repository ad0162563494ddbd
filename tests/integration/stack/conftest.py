"""A stack of stand-ins in a home of its own; nothing of it outlives the test."""

from collections.abc import AsyncIterator

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import down
from tests.support.polling import until_true
from tests.support.stub_stack import Stack
from tests.support.temporal_server import free_port


@pytest.fixture
async def stack(home: Home) -> AsyncIterator[Stack]:
    server, temporal, ui = (str(free_port()) for _ in range(3))
    ports = {"STIGMER_SERVER_PORT": server, "STIGMER_TEMPORAL_PORT": temporal, "STIGMER_UI_PORT": ui}
    found = Stack(home=home, ports=ports)
    yield found
    left = list(found.processes().values())
    await down(home, clock=SystemClock())
    await until_true(lambda: not any(one.is_alive for one in left), "everything gone")
