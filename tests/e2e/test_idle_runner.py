"""A runner that takes up no work is shown with its reason, as long as that lasts, and goes on by itself."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.freezing import freeze
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until

SHOWN_MAX_S = 30.0


@pytest.fixture
def stigmer(tmp_path: Path) -> Iterator[Stigmer]:
    with installed(tmp_path / "home") as one:
        yield one


def runner(stigmer: Stigmer) -> Mapping[str, Any]:
    parts = stigmer.json("status")["parts"]
    return next(part for part in parts if part["name"] == "runner")


def test_a_runner_whose_server_is_silent_is_not_ready_and_says_why(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    server = stigmer.pids()["server"]
    freeze(server)
    try:
        wait_until(
            lambda: runner(stigmer)["detail"].startswith("takes up no work: the server at http://"), "its reason"
        )
        assert runner(stigmer)["state"] == "not-ready"
    finally:
        with suppress(ProcessLookupError):  # its supervisor may have ended it for its silence
            os.kill(server, signal.SIGCONT)
    wait_until(lambda: runner(stigmer)["state"] == "running", "its return")
