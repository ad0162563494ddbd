"""Processes are signalled, and ports closed, also where Python or the kernel has no handles of processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stigmer_cli.supervisor.process import IS_LINUX
from stigmer_cli.supervisor.spec import SourceFilter
from tests.support.polling import until_true
from tests.support.processes import ROOT, child, environ, supervised
from tests.support.temporal_server import free_port

pytestmark = pytest.mark.skipif(not IS_LINUX, reason="handles of processes are the Linux kernel's")

FUNCTIONS = ((os, "pidfd_open"), (signal, "pidfd_send_signal"))
LISTENS = "import socket, time; s = socket.create_server(('127.0.0.1', PORT)); print('up', flush=True); time.sleep(600)"
SIGNALS = """
import ctypes, os, signal, struct, subprocess, sys
from stigmer_cli.supervisor.process import ProcessId, start_mark

started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
steps = [(0x20, 0, 0, 0), (0x15, 1, 0, 434), (0x15, 0, 1, 424), (6, 0, 0, 0x50000 + ERRNO), (6, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in steps))
system = ctypes.CDLL(None)
assert system.prctl(38, 1, 0, 0, 0) == 0
assert system.prctl(22, 2, struct.pack("HL", len(steps), ctypes.addressof(program)), 0, 0) == 0
found = ProcessId(pid=started.pid, mark=start_mark(started.pid))
print(found.send(signal.SIGTERM), started.wait(10), found.send(signal.SIGTERM))
"""
"""Sends a signal where seccomp(2) answers for two system calls."""


async def test_a_python_without_the_functions_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old"
    old.mkdir()
    lines = [f"import {module.__name__}; del {module.__name__}.{name}" for module, name in FUNCTIONS]
    (old / "sitecustomize.py").write_text("\n".join(lines))
    for module, name in FUNCTIONS:
        monkeypatch.delattr(module, name)
    port = free_port()
    listens = child(
        tmp_path,
        "web",
        LISTENS.replace("PORT", str(port)),
        source_filter=SourceFilter(ports=(port,), source="127.77.1.2"),
    )
    async with supervised(tmp_path, listens, variables={"PYTHONPATH": f"{old}:{ROOT}"}) as it:
        await until_true(lambda: "source filter attached" in it.log(), "attached")
        assert it.id.send(signal.SIGTERM)
        await until_true(lambda: not it.id.is_alive, "the supervisor ended")


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
def test_a_signal_arrives_where_the_kernel_gives_no_handles(error: str) -> None:
    code = SIGNALS.replace("ERRNO", {"EPERM": "1", "ENOSYS": "38"}[error])
    done = subprocess.run([sys.executable, "-c", code], env=environ(), capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"True {-signal.SIGTERM} False\n", "")
