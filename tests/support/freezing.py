"""SIGSTOP that has happened: the kernel stops the threads of a process one by one, later on a busy machine."""

import os
import signal
import time
from pathlib import Path

import psutil

FROZEN_MAX_S = 10.0
STILL = "TtZX"
"""Letters of /proc/PID/stat: stopped, traced, ended."""


def freeze(pid: int) -> None:
    """Send SIGSTOP; returns when no thread of `pid` runs any more."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + FROZEN_MAX_S
    while _is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} was not stopped"
        time.sleep(0.001)


def _is_running(pid: int) -> bool:
    """Whether a thread of `pid` runs; without /proc, whether its first one does."""
    threads = Path(f"/proc/{pid}/task")
    if not threads.is_dir():
        return psutil.Process(pid).status() != psutil.STATUS_STOPPED
    return any((one / "stat").read_text().rpartition(") ")[2][0] not in STILL for one in threads.iterdir())
