"""As the first process of a container it reaps what others leave behind, heeds signals, and keeps its exit code."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.installed import Stigmer
from tests.support.polling import wait_until

CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
LEAVE_ORPHANS = "for number in 1 2 3; do (sleep 0.3 &); done"
END_MAX_S = 10.0

pytestmark = pytest.mark.skipif(
    not (shutil.which("unshare") and shutil.which("nsenter") and os.geteuid() == 0),
    reason="needs root, unshare(1) and nsenter(1)",
)


@contextmanager
def in_container(stigmer: Stigmer, *arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", psutil.Process]]:
    """What started the container, and the first process in it."""
    with stigmer.piped(*arguments, within=CONTAINER) as outside:
        wait_until(lambda: any("mcp" in one.cmdline() for one in psutil.Process(outside.pid).children()))
        (first,) = psutil.Process(outside.pid).children()
        wait_until(lambda: any(one.num_threads() > 1 for one in [first, *first.children()]))  # it serves
        yield outside, first


@pytest.fixture
def stigmer(tmp_path: Path) -> Stigmer:
    return Stigmer(tmp_path / "home")


def test_it_reaps_what_has_lost_its_parent(stigmer: Stigmer) -> None:
    with in_container(stigmer, "mcp") as (_, first):
        inside = ["nsenter", "--target", str(first.pid), "--pid", "--mount", "sh", "-c", LEAVE_ORPHANS]
        subprocess.run(inside, check=True)
        wait_until(lambda: not any(one.name() == "sleep" for one in first.children()), within_s=END_MAX_S)


def test_a_signal_ends_it(stigmer: Stigmer) -> None:
    with in_container(stigmer, "mcp") as (outside, first):
        first.send_signal(signal.SIGTERM)
        assert outside.wait(END_MAX_S) == 128 + signal.SIGTERM


def test_it_ends_with_the_exit_code_of_what_it_does(stigmer: Stigmer) -> None:
    with in_container(stigmer, "mcp") as (outside, _):
        assert outside.stdin
        outside.stdin.close()
        assert outside.wait(END_MAX_S) == 0
    done = subprocess.run(
        [*CONTAINER, stigmer.command, "no-such-command"], env=stigmer.environment, capture_output=True, check=False
    )
    assert done.returncode == 2
