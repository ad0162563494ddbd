"""A port that answers only who connects from one address: attached from outside, again after every start."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stigmer_cli.supervisor.process import IS_LINUX
from stigmer_cli.supervisor.source_filter import is_any_open
from stigmer_cli.supervisor.spec import SourceFilter
from tests.support.polling import eventually
from tests.support.processes import Supervised, child, supervised
from tests.support.temporal_server import free_port

pytestmark = pytest.mark.skipif(not IS_LINUX, reason="socket filters are the Linux kernel's")

SOURCE = "127.77.1.2"
SILENCE_S = 0.3
SERVES = """
import http.server, os, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"secret of pid " + str(os.getpid()).encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Answers).serve_forever()
"""


def _answer(port: int, source: str) -> str:
    """What is answered to who comes from `source`; empty where nothing is."""
    with socket.socket() as ours:
        ours.settimeout(SILENCE_S)
        ours.bind((source, 0))
        try:
            ours.connect(("127.0.0.1", port))
            ours.sendall(b"GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n")
            found = b""
            while chunk := ours.recv(4096):
                found += chunk
        except OSError:
            return ""
    return found.decode().rpartition("\r\n")[2]


def _answers(port: int, source: str) -> Callable[[], Awaitable[str]]:
    async def ask() -> str:
        return await asyncio.to_thread(_answer, port, source)

    return ask


async def _attached(it: Supervised, times: int) -> None:
    async def is_told() -> bool:
        return it.log().count("source filter attached") == times

    await eventually(is_told, within_s=10, what=f"attached {times} times")


async def test_only_who_comes_from_the_source_is_answered_also_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    serves = child(
        tmp_path, "web", SERVES.replace("PORT", str(port)), source_filter=SourceFilter(ports=(port,), source=SOURCE)
    )
    async with supervised(tmp_path, serves) as it:
        for times in (1, 2):
            await _attached(it, times)
            process = (await it.child("web", lambda one: one.id, "running")).id
            assert process is not None
            answer = await eventually(_answers(port, SOURCE), within_s=10, what="answered")
            assert answer == f"secret of pid {process.pid}"
            assert _answer(port, "127.0.0.1") == ""
            assert _answer(port, "127.77.1.3") == ""
            os.kill(process.pid, signal.SIGKILL)


async def test_a_child_behind_a_script_is_found_in_its_group(tmp_path: Path) -> None:
    port = free_port()
    script = tmp_path / "web.py"
    script.write_text(
        "import ctypes; ctypes.CDLL(None).prctl(1, 9)  # dies with its parent\n" + SERVES.replace("PORT", str(port))
    )
    behind = f"import subprocess, sys; subprocess.run([sys.executable, {str(script)!r}])"
    wrapped = child(tmp_path, "web", behind, source_filter=SourceFilter(ports=(port,), source=SOURCE))
    async with supervised(tmp_path, wrapped) as it:
        await _attached(it, 1)
        assert (await eventually(_answers(port, SOURCE), within_s=10, what="answered")).startswith("secret of pid ")
        assert _answer(port, "127.0.0.1") == ""


async def test_a_child_that_never_listens_there_lives_on_undisturbed(tmp_path: Path) -> None:
    port = free_port()
    idle = child(
        tmp_path,
        "idle",
        "import time; print('up', flush=True); time.sleep(600)",
        source_filter=SourceFilter(ports=(port,), source=SOURCE),
    )
    with socket.create_server(("127.0.0.1", port)):
        async with supervised(tmp_path, idle) as it:
            await it.says("idle")
            process = (await it.child("idle", lambda one: one.id, "running")).id
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
            after = await it.child("idle", lambda one: one.id and one.id != process, "running again")
            assert after.restarts == 1
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass  # what another process has there is not ours to close


@pytest.mark.parametrize("address", ["127.0.0.1", SOURCE])
def test_a_port_is_seen_to_be_open_at_either_address_at_which_temporal_listens(address: str) -> None:
    with socket.create_server((address, 0)) as listener:
        port = listener.getsockname()[1]
        assert is_any_open({port, free_port()}, SOURCE)
    assert not is_any_open({port}, SOURCE)
