"""The parts that are killed at their failpoints, once for all dramas."""

import os
from collections.abc import Iterator

import pytest

from tests.chaos.failpoints.theatre import Theatre
from tests.support.temporal_server import DevServer


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """Everything started, and killed at the end."""
    folder = tmp_path_factory.mktemp("theatre")
    with pytest.MonkeyPatch.context() as patch, DevServer(folder, file=folder / "temporal.db") as temporal:
        for name in [name for name in os.environ if name.startswith("STIGMER_")]:
            patch.delenv(name)
        temporal.start()
        theatre = Theatre(folder, temporal)
        try:
            theatre.server.spawn()
            for runner in theatre.runners:
                runner.start()
            yield theatre
        finally:
            for runner in theatre.runners:
                runner.kill()
            theatre.server.kill()
