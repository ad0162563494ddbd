"""Faults of the home itself: whose it is, and who could write in it; and of a machine that has no time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.faults.fault import Mends, On, Row
from tests.e2e.faults.harness import Harness

SOMEBODY = 12345
LOOPS = 8


@contextmanager
def open_to_all(harness: Harness) -> Iterator[None]:
    """Everybody may write in the home."""
    harness.home.chmod(0o777)
    try:
        yield
    finally:
        harness.home.chmod(0o700)


@contextmanager
def somebody_elses_file(harness: Harness) -> Iterator[None]:
    """A file of another user's in the home."""
    if os.geteuid() != 0:
        pytest.skip("a file of another user needs root")
    file = harness.home / "notes"
    file.write_text("")
    os.chown(file, SOMEBODY, SOMEBODY)
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def frozen_runner(harness: Harness) -> Iterator[None]:
    """SIGSTOP: not ready at once, although Temporal still lists it."""
    with harness.held("runner") as pids:
        assert harness.part("runner")["state"] == "not-ready"
        yield
        os.kill(pids["runner"], signal.SIGCONT)


@contextmanager
def busy_machine(harness: Harness) -> Iterator[None]:
    """Eight processes that take all the time there is: doctor is slower, and calls nothing ill."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(LOOPS)]
    try:
        found = harness.stigmer.json("doctor")
        assert found["ok"], found["verdict"]
    finally:
        for one in loops:
            one.kill()
            one.wait()
    yield


ROWS: tuple[Row, ...] = (
    Row(
        fault="Y12",
        what="everybody may write in the home",
        on=On.OWN,
        inject=open_to_all,
        code="STG507",
        exit_code=1,
        verdict="not healthy: others can write in ~/.stigmer (mode 0777):"
        " trust nothing in it until you have checked it",
        fix="chmod go-w ~/.stigmer",
    ),
    Row(
        fault="Y12",
        what="a file in the home belongs to another user",
        on=On.OWN,
        inject=somebody_elses_file,
        code="STG506",
        exit_code=1,
        verdict="not healthy: notes in ~/.stigmer belongs to uid 12345, and you are root",
        fix="chown -hR 0 ~/.stigmer",
    ),
    Row(
        fault="Y9",
        what="the runner is frozen, and Temporal still lists it",
        on=On.OWN,
        inject=frozen_runner,
        code="STG107",
        exit_code=1,
        verdict="not healthy: runner (pid N) is frozen by a signal (SIGSTOP)",
        fix="kill -CONT N",
    ),
    Row(
        fault="Y9",
        what="eight processes take all the time that the machine has",
        on=On.OWN,
        inject=busy_machine,
        code="",
        exit_code=0,
        verdict="healthy",
        mends=Mends.NEEDLESS,
        is_slow=True,
    ),
)
