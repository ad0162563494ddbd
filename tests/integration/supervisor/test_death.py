"""What happens when the supervisor dies, and who may be signalled afterwards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import Conflict
from stigmer_cli.supervisor.launch import launch
from stigmer_cli.supervisor.process import ProcessId, start_mark
from stigmer_cli.supervisor.record import read_record
from stigmer_cli.supervisor.supervisor import end_survivors
from tests.support.polling import until_true
from tests.support.processes import SLEEP, STUBBORN, child, environ, spec_of, supervised


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next supervisor ends them")
async def test_no_child_outlives_a_killed_supervisor_by_two_seconds(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP), child(tmp_path, "b", STUBBORN)) as it:
        record = await it.until(lambda one: all(c.id for c in one.children), "both running")
        await it.says("a")
        await it.says("b")
        it.id.send(signal.SIGKILL)

        alive = [one.id for one in record.children if one.id]
        await until_true(lambda: not any(one.is_alive for one in alive), "children gone", within_s=2.0)


async def test_another_supervisor_takes_over_what_a_killed_one_left(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as first:
        await first.says("a")
        first.id.send(signal.SIGKILL)
        await until_true(lambda: not first.id.is_alive, "the first is dead")

        async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as second:
            await second.says("a", times=2)
            assert second.id != first.id


async def test_a_second_supervisor_of_one_folder_is_refused_and_says_who_holds_it(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
        with pytest.raises(Conflict, match=rf"another supervisor \(pid {it.id.pid}\) holds"):
            await launch(spec_of(tmp_path, child(tmp_path, "b", SLEEP)), environ=environ(), clock=SystemClock())

        assert not (tmp_path / "b.log").exists()
        assert (await it.ask("ping")) == {"ok": True}


async def test_a_survivor_is_ended_only_if_pid_and_mark_are_those_written_down() -> None:
    innocent = _sleeper()
    try:
        mark = start_mark(innocent.pid)
        assert mark is not None

        reused = ProcessId(pid=innocent.pid, mark=mark[:-1] + ("0" if mark[-1] != "0" else "1"))
        assert await end_survivors([reused], clock=SystemClock()) == []
        assert innocent.poll() is None
        assert not reused.send(signal.SIGKILL)
        assert innocent.poll() is None

        ours = ProcessId(pid=innocent.pid, mark=mark)
        assert await end_survivors([ours], clock=SystemClock()) == [ours]
        assert innocent.wait(5) == -signal.SIGKILL
    finally:
        innocent.kill()
        innocent.wait()


async def test_a_supervisor_that_starts_ends_recorded_survivors_and_spares_a_reused_pid(tmp_path: Path) -> None:
    processes = [_sleeper(), _sleeper()]
    survivor, innocent = processes
    try:
        async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
            await it.says("a")
            it.id.send(signal.SIGKILL)
            await until_true(lambda: not it.id.is_alive, "dead")
        text = (tmp_path / "supervisor.json").read_text()
        recorded = read_record(tmp_path)
        assert recorded is not None
        old = recorded.children[0].id
        assert old is not None
        listed = text.replace(f'"pid": {old.pid}', f'"pid": {survivor.pid}')
        listed = listed.replace(f'"mark": "{old.mark}"', f'"mark": "{start_mark(survivor.pid)}"')
        second = f'{{"name": "z", "state": "running", "pid": {innocent.pid}, "mark": "another-boot:1"}}, {{"name": "a"'
        (tmp_path / "supervisor.json").write_text(listed.replace('{\n      "name": "a"', second))
        read = read_record(tmp_path)
        assert read is not None
        assert [one.id.pid for one in read.children if one.id] == [innocent.pid, survivor.pid]

        async with supervised(tmp_path, child(tmp_path, "a", SLEEP)):
            assert survivor.wait(5) == -signal.SIGKILL
            assert innocent.poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def test_the_supervisor_survives_the_end_of_its_terminal(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
        it.id.send(signal.SIGHUP)

        assert await it.ask("ping") == {"ok": True}
        assert os.getsid(it.id.pid) == it.id.pid


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_nobody_inherits_the_lock(tmp_path: Path) -> None:
    show = "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)], os.listdir('/proc/self/fd'), 'up'"
    code = f"{show}, flush=True); import time; time.sleep(600)"
    async with supervised(tmp_path, child(tmp_path, "a", code)) as it:
        await it.says("a")

        line = (tmp_path / "a.log").read_text()
        assert "['0', '1', '2', '3']" in line  # 3 is the folder that is being listed
        assert "/dev/null" in line


def _sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.DEVNULL, start_new_session=True)
