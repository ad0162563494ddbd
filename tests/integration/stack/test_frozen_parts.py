"""Which real processes stand still: frozen by a signal, ended and not collected, with a loop that hangs."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from stigmer_cli.stack.standstill import FROZEN, HUNG, find_stalled_processes
from stigmer_cli.supervisor.process import ProcessId, run_state, start_mark
from stigmer_cli.supervisor.record import ChildRecord, SupervisorRecord
from stigmer_cli.supervisor.sign_of_life import shows_life, socket_of
from tests.support.polling import eventually

WITHIN_S = 5.0
RUNNER = """
import asyncio, signal, sys, time
from pathlib import Path
from stigmer_cli.supervisor.sign_of_life import show_life

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: time.sleep(600))
    await show_life(Path(sys.argv[1]), "runner")

asyncio.run(main())
"""


@asynccontextmanager
async def runner(folder: Path) -> AsyncIterator[Process]:
    """A process whose loop shows that it turns, and hangs at SIGUSR1."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", RUNNER, str(folder))
    try:
        await eventually(lambda: shows_life(folder, "runner", process.pid, within_s=1.0), within_s=15)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def record_of(name: str, pid: int) -> SupervisorRecord:
    one = ProcessId(pid=pid, mark=start_mark(pid) or "gone")
    child = ChildRecord(name=name, state="running", id=one, started_at="2026-05-04T12:00:00Z")
    return SupervisorRecord(id=ProcessId(pid=os.getpid(), mark="m"), started_at="", children=(child,))


async def still(record: SupervisorRecord, folder: Path) -> dict[str, str]:
    """The look, which has to end in time."""
    async with asyncio.timeout(WITHIN_S):
        return await find_stalled_processes(record, folder)


async def test_a_runner_whose_loop_runs_is_not_blocked(tmp_path: Path) -> None:
    async with runner(tmp_path) as process:
        assert await still(record_of("runner", process.pid), tmp_path) == {}


async def test_a_runner_whose_loop_hangs_is_known_within_five_seconds(tmp_path: Path) -> None:
    async with runner(tmp_path) as process:
        process.send_signal(signal.SIGUSR1)
        record = record_of("runner", process.pid)
        assert await eventually(lambda: still(record, tmp_path), within_s=WITHIN_S) == {"runner": HUNG}


@pytest.mark.parametrize("name", ["temporal", "server", "runner"])
async def test_a_frozen_part_is_known_at_once(name: str, tmp_path: Path) -> None:
    async with runner(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        try:
            record = record_of(name, process.pid)
            assert await eventually(lambda: still(record, tmp_path), within_s=WITHIN_S) == {name: FROZEN}
        finally:
            process.send_signal(signal.SIGCONT)


async def test_a_part_that_ended_and_was_not_collected_is_named(tmp_path: Path) -> None:
    # Kept in a variable: a Popen that nobody holds collects its process, if that has ended by then.
    script = "import subprocess, sys; it = subprocess.Popen(['true']); print(it.pid, flush=True); sys.stdin.read()"
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdin=PIPE, stdout=PIPE)
    assert parent.stdout
    assert parent.stdin
    pid = int(await parent.stdout.readline())

    async def is_left() -> bool:
        return run_state(pid) == "Z"

    await eventually(is_left, within_s=WITHIN_S)
    assert "ended" in (await still(record_of("server", pid), tmp_path))["server"]
    parent.stdin.close()
    await parent.wait()


async def test_a_runner_without_a_socket_is_not_suspected(tmp_path: Path) -> None:
    assert await still(record_of("runner", os.getpid()), tmp_path) == {}


async def test_what_a_killed_runner_left_is_removed_by_the_next(tmp_path: Path) -> None:
    async with runner(tmp_path) as first:
        left = socket_of(tmp_path, "runner", first.pid)
        first.kill()
        await first.wait()
    assert left.exists()
    async with runner(tmp_path):
        assert not left.exists()


async def test_a_folder_that_takes_no_socket_harms_nobody(tmp_path: Path) -> None:
    script = RUNNER.replace("asyncio.run(main())", "asyncio.run(main()); print('went on')")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(tmp_path / "missing"), stdout=PIPE)
    assert (await process.communicate())[0] == b"went on\n"
