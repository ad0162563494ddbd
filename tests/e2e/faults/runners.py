"""Faults of runners beside the stack's own: what they are started with is wrong."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from stigmer_cli.doctor.checks.runner_server import SETTLING_S
from stigmer_cli.runner_record import RunnerRecord, read_runner_records
from stigmer_cli.settings import Home
from stigmer_cli.stack.readiness import parse_time
from tests.e2e.faults.harness import Harness
from tests.support.polling import wait_until
from tests.support.temporal_server import kill_group


@contextmanager
def with_another_token(harness: Harness) -> Iterator[None]:
    """A second runner in the same home, with a token that is not the server's."""
    with _working(harness, "refused", STIGMER_TOKEN="stolen"):
        yield


@contextmanager
def without_a_server(harness: Harness) -> Iterator[None]:
    """A second runner in the same home, whose server is not there."""
    with _working(harness, "asking", STIGMER_SERVER_URL="http://127.0.0.1:1"):
        yield


@contextmanager
def _working(harness: Harness, state: str, **settings: str) -> Iterator[None]:
    """`stigmer work` with `settings`, once it says of itself that it is in `state`."""
    process = subprocess.Popen(
        [harness.stigmer.command, "work"],
        env={**harness.stigmer.environment, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def says_so() -> bool:
        found = [one for one in read_runner_records(Home(path=harness.home)) if one.pid == process.pid]
        return any(one.state == state and one.cause and _age_s(one) > SETTLING_S for one in found)

    try:
        wait_until(says_so, f"a runner that is {state}")
        yield
    finally:
        kill_group(process)


def _age_s(record: RunnerRecord) -> float:
    return (datetime.now(UTC) - parse_time(record.since)).total_seconds()
