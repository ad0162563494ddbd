"""A SQLite store in a folder of its own, and other processes that use it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
Start = Callable[..., "subprocess.Popen[str]"]


def kill(process: "subprocess.Popen[str]") -> str:
    """Kill -9 the process and its children, wait for them, and return what else they had said."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # At its end when the last of them is gone.
    return process.stdout.read() if process.stdout is not None else ""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "data" / "stigmer.db"


@pytest.fixture
def start_writer() -> Iterator[Start]:
    """Start a process that opens a store and accepts `count` executions; none of them outlives the test."""
    with ExitStack() as stack:

        def start(path: Path, count: int, *before: str) -> "subprocess.Popen[str]":
            process = stack.enter_context(
                subprocess.Popen(
                    [*before, sys.executable, "-m", "tests.integration.store.writer", f"sqlite:///{path}", str(count)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                    # A group of its own: strace does not take its child along when it is killed.
                    start_new_session=True,
                )
            )
            stack.callback(kill, process)
            return process

        yield start
