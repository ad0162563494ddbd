"""The socket and the state file: whoever asks is answered, nobody else may ask, and no secret is told."""

import asyncio
import json
import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import Conflict
from stigmer_cli.supervisor import launch as launch_module
from stigmer_cli.supervisor.control import connect
from stigmer_cli.supervisor.launch import launch
from stigmer_cli.supervisor.record import read_record
from stigmer_cli.supervisor.spec import Liveness
from tests.support.polling import until_true
from tests.support.processes import SLEEP, child, environ, spec_of, supervised
from tests.support.temporal_server import free_port


async def test_socket_lock_and_state_file_are_for_the_owner_only(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)):
        for name in ("supervisor.sock", "supervisor.lock", "supervisor.json", "supervisor.log"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


async def test_the_state_file_knows_every_process_and_no_secret(tmp_path: Path) -> None:
    secret = child(tmp_path, "a", SLEEP, env=environ({"TOKEN": "s3cr3t-in-env"}))
    async with supervised(tmp_path, secret) as it:
        await it.says("a")
        live = await it.child("a", lambda one: one.id, "running")
        await until_true(lambda: (found := read_record(tmp_path)) and found.children[0].id == live.id, "written down")

        assert [path for path in _files(tmp_path) if b"s3cr3t-in-env" in path.read_bytes()] == []
        found = json.loads((tmp_path / "supervisor.json").read_text())
        assert found["pid"] == it.id.pid
        assert found["mark"] == it.id.mark
        assert list(found["children"][0]) == [
            "name",
            "state",
            "pid",
            "mark",
            "startedAt",
            "uptimeS",
            "restarts",
            "failures",
            "lastExit",
            "nextTryAt",
            "log",
            "droppedBytes",
        ]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]


async def test_a_supervisor_that_has_to_wait_for_the_processor_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "python"
    spin = "import os, sys, time\nwhile time.process_time() < 1.0: pass\nos.execv(sys.argv[1], sys.argv[1:])"
    slow.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{spin}' {sys.executable} \"$@\"\n")
    slow.chmod(0o755)
    monkeypatch.setattr(launch_module, "LAUNCH_MAX_S", 0.9)
    monkeypatch.setattr(sys, "executable", str(slow))
    folder = tmp_path / "run"
    folder.mkdir()
    async with supervised(folder, child(folder, "a", SLEEP)) as it:
        await it.says("a")


async def test_a_folder_too_deep_for_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    async with supervised(folder, child(folder, "a", SLEEP)) as it:
        assert (folder / "supervisor.sock").is_socket()
        assert await it.ask("ping") == {"ok": True}


async def test_a_socket_that_a_dead_supervisor_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "supervisor.sock"))
    assert await connect(tmp_path, within_s=1.0) is None

    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
        assert await it.ask("ping") == {"ok": True}


async def test_watch_tells_every_change_until_the_supervisor_is_gone(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
        await it.says("a")
        states: list[str] = []
        async with asyncio.timeout(10), it.control() as control:
            async for record in control.watch():
                state = record.children[0].state
                if not states:
                    await it.ask("stop")
                if not states or states[-1] != state:
                    states.append(state)

        assert states[0] == "running"
        assert set(states) <= {"running", "stopping", "stopped"}
        await until_true(lambda: not it.id.is_alive, "the supervisor ended")


async def test_nonsense_on_the_socket_does_no_harm(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
        for nonsense in (b"\n", b"[]\n", b"{}\n", b"not json\n", b'{"op": "dance"}\n', b"\xff" * 5000 + b"\n"):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "supervisor.sock"))
            writer.write(nonsense)
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()

        assert await it.ask("restart", "nobody") == {"ok": False, "error": "there is no part nobody"}
        assert await it.ask("ping") == {"ok": True}
        assert "Traceback" not in it.log()


async def test_of_twenty_at_once_one_supervisor_stands(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, child(tmp_path, "a", SLEEP))
    winners, losers = [], []

    async def start() -> None:
        try:
            winners.append(await launch(spec, environ=environ(), clock=SystemClock()))
        except Conflict as error:
            losers.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(start())
    try:
        assert (len(winners), len(losers)) == (1, 19)
        control = await connect(tmp_path, within_s=5.0)
        assert control is not None
        async with control:
            assert (await control.status()).id == winners[0]
    finally:
        for winner in winners:
            winner.send(15)
            await until_true(lambda winner=winner: not winner.is_alive, "ended")  # type: ignore[misc]


HANGS_ON_REQUEST = """
import os, socket, sys, time
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1]))); server.listen(); print("up", flush=True)
while True:
    end, _ = server.accept(); end.recv(9); end.sendall(b"alive"); end.close()
    if os.path.exists(sys.argv[2]): os.remove(sys.argv[2]); time.sleep(600)
"""


async def test_a_child_that_lives_but_no_longer_answers_is_replaced(tmp_path: Path) -> None:
    port = free_port()
    liveness = Liveness(
        host="127.0.0.1", port=port, question="hello", every_s=0.05, answer_within_s=0.2, silence_max_s=0.5
    )
    hang = tmp_path / "hang"
    spec = child(tmp_path, "a", HANGS_ON_REQUEST, liveness=liveness)
    spec = child(tmp_path, "a", "", argv=(*spec.argv[:2], HANGS_ON_REQUEST, str(port), str(hang)), liveness=liveness)
    async with supervised(tmp_path, spec) as it:
        await it.says("a")
        before = await it.child("a", lambda one: one.id, "running")
        hang.touch()
        began = time.monotonic()

        after = await it.child("a", lambda one: one.id and one.id != before.id, "replaced")

        assert time.monotonic() - began >= 0.4
        assert after.last_exit is not None
        assert after.last_exit.why.startswith("it was alive but had not answered for")
