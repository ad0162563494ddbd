"""The stack that is killed at its failpoints, started once for all tests of a module."""

import os
from collections.abc import Iterator

import pytest

from tests.chaos.failpoints.harness import FailpointHarness
from tests.support.temporal_server import DevServer


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailpointHarness]:
    """Everything started, and killed at the end."""
    folder = tmp_path_factory.mktemp("failpoints")
    with pytest.MonkeyPatch.context() as patch, DevServer(folder, file=folder / "temporal.db") as temporal:
        for name in [name for name in os.environ if name.startswith("STIGMER_")]:
            patch.delenv(name)
        temporal.start()
        harness = FailpointHarness(folder, temporal)
        try:
            harness.server.spawn()
            for runner in harness.runners:
                runner.start()
            yield harness
        finally:
            for runner in harness.runners:
                runner.kill()
            harness.server.kill()
