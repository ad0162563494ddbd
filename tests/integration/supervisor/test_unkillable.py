"""A process that SIGKILL does not end stays the supervisor's own: in its record, and after its end."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import read_record
from stigmer_cli.supervisor.supervisor import end_survivors
from tests.support.polling import until_true
from tests.support.processes import SLEEP, child, supervised

FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A cgroup whose processes can be frozen; the kernel ends none of them before they are thawed."""
    if not os.access(FREEZER, os.W_OK):
        pytest.skip("needs root and the freezer of cgroup v1: in v2 a frozen process can be killed")
    group = FREEZER / f"stigmer-test-{os.getpid()}"
    group.mkdir()
    yield group
    (group / "freezer.state").write_text("THAWED")
    pids = (group / "cgroup.procs").read_text().split()
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    while (group / "cgroup.procs").read_text().split():
        pass
    group.rmdir()


async def test_what_the_kernel_does_not_end_stays_ours(tmp_path: Path, freezer: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP, stop_grace_s=0.2)) as it:
        await it.says("a")
        frozen = await _freeze(freezer, (await it.child("a", lambda one: one.id, "running")).id)
        await it.ask("restart", "a")
        waiting = await it.child("a", lambda one: one.next_try_at, "waits for its end")
        assert waiting.id == frozen
        assert waiting.last_exit is not None
        assert waiting.last_exit.why == f"the kernel has not ended pid {frozen.pid}"

        await it.ask("stop")
        await until_true(lambda: not it.id.is_alive, "the supervisor ended")
        left = read_record(tmp_path)
        assert left is not None
        assert [one.id for one in left.children] == [frozen]
        assert await end_survivors([frozen], clock=SystemClock()) == [frozen]
        assert frozen.is_alive

        (freezer / "freezer.state").write_text("THAWED")
        await until_true(lambda: not frozen.is_alive, "ended at last")


async def _freeze(group: Path, process: ProcessId | None) -> ProcessId:
    assert process is not None
    (group / "cgroup.procs").write_text(str(process.pid))
    (group / "freezer.state").write_text("FROZEN")
    await until_true(lambda: (group / "freezer.state").read_text().strip() == "FROZEN", "frozen")
    return process
