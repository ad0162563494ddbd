"""Children are stopped in order, with grace, and with everything that they started."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.supervisor.launch import end_launched, launch
from stigmer_cli.supervisor.process import ProcessId, start_mark
from stigmer_cli.supervisor.record import read_record
from tests.support.freezing import freeze
from tests.support.polling import until_true
from tests.support.processes import SLEEP, STUBBORN, child, environ, spec_of, supervised

SLOW_TO_STOP = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(0))); "
    "print('up', flush=True); time.sleep(600)"
)
PARENT = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print('up', p.pid, flush=True); time.sleep(600)"
)


async def test_children_stop_in_their_order_and_the_last_waits_for_the_others(tmp_path: Path) -> None:
    children = (
        child(tmp_path, "last", SLEEP, stop_order=2),
        child(tmp_path, "first", SLOW_TO_STOP, stop_order=0),
        child(tmp_path, "second", SLOW_TO_STOP, stop_order=1),
    )
    async with supervised(tmp_path, *children) as it:
        for one in children:
            await it.says(one.name)
        async with it.control() as control:
            await control.ask("stop")
            assert await control.is_gone(10.0)

        moves = [json.loads(line) for line in it.log().splitlines()]
        stopping = [(move["child"], move["state"]) for move in moves if move.get("state") in ("stopping", "stopped")]
        assert stopping == [
            ("first", "stopping"),
            ("first", "stopped"),
            ("second", "stopping"),
            ("second", "stopped"),
            ("last", "stopping"),
            ("last", "stopped"),
        ]


async def test_a_child_that_ignores_sigterm_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PARENT}"
    async with supervised(tmp_path, child(tmp_path, "a", code, stop_grace_s=0.2)) as it:
        await it.says("a", "\n")
        grandchild = _grandchild(tmp_path)
        async with it.control() as control:
            await control.ask("stop")
            assert await control.is_gone(10.0)

        await until_true(lambda: not grandchild.is_alive, "the grandchild is gone")
        record = read_record(tmp_path)
        assert record is not None
        assert record.children[0].last_exit is not None
        assert record.children[0].last_exit.why == "stop was asked for; it did not end within 0.2s and was killed"


async def test_what_a_crashed_child_left_in_its_group_goes_with_it(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", PARENT)) as it:
        await it.says("a", "\n")
        grandchild = _grandchild(tmp_path)
        one = await it.child("a", lambda found: found.id, "running")
        assert one.id is not None
        os.kill(one.id.pid, signal.SIGKILL)

        await until_true(lambda: not grandchild.is_alive, "the grandchild is gone")


async def test_a_frozen_child_is_stopped_all_the_same(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", STUBBORN, stop_grace_s=0.2)) as it:
        await it.says("a")
        one = await it.child("a", lambda found: found.id, "running")
        assert one.id is not None
        freeze(one.id.pid)
        async with it.control() as control:
            await control.ask("stop")
            assert await control.is_gone(10.0)

        assert not one.id.is_alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_supervisor_gracefully(tmp_path: Path, number: int) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLOW_TO_STOP)) as it:
        await it.says("a")
        it.id.send(number)
        await until_true(lambda: not it.id.is_alive, "the supervisor ended")

        record = read_record(tmp_path)
        assert record is not None
        assert record.children[0].state == "stopped"
        assert record.children[0].last_exit is not None
        assert record.children[0].last_exit.code == 0
        assert not (tmp_path / "supervisor.sock").exists()


async def test_kill_ends_children_without_their_grace(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", STUBBORN, stop_grace_s=600.0)) as it:
        await it.says("a")
        async with it.control() as control:
            await control.ask("stop")
        await it.child("a", lambda one: one.state == "stopping", "stopping")
        async with it.control() as control:
            await control.ask("kill")
            assert await control.is_gone(5.0)


async def test_a_supervisor_whose_folder_is_removed_ends_with_its_children(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    async with supervised(folder, child(tmp_path, "a", SLEEP)) as it:
        one = await it.child("a", lambda found: found.id, "running")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

        await until_true(lambda: not it.id.is_alive, "the supervisor ended")
        assert one.id is not None
        assert not one.id.is_alive


async def test_an_interrupted_launch_leaves_nothing(tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415

    spec = spec_of(tmp_path, child(tmp_path, "a", SLEEP))
    for delay_s in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2):
        try:
            async with asyncio.timeout(delay_s):
                identity = await launch(spec, environ=environ(), clock=SystemClock())
        except TimeoutError:
            pass
        else:
            identity.send(signal.SIGTERM)
            await until_true(lambda identity=identity: not identity.is_alive, "ended")  # type: ignore[misc]
        record = read_record(tmp_path)
        assert record is None or not any(one.id and one.id.is_alive for one in record.children)
        assert _holders(tmp_path) == []


async def test_an_end_that_is_interrupted_is_faster_and_not_incomplete() -> None:
    import asyncio  # noqa: PLC0415

    process = _start_deaf()
    try:
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(end_launched(process, SystemClock()))
            for _ in range(3):
                await asyncio.sleep(0.02)
                ending.cancel()
        assert ending.cancelled()
        assert process.returncode == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()


def _start_deaf() -> subprocess.Popen[bytes]:
    """A process that does not listen to SIGTERM."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _holders(folder: Path) -> list[str]:
    found = subprocess.run(["/bin/ps", "-eo", "pid,stat,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if str(folder) in line]


def _grandchild(folder: Path) -> ProcessId:
    pid = int((folder / "a.log").read_text().split()[1])
    mark = start_mark(pid)
    assert mark is not None
    return ProcessId(pid=pid, mark=mark)
