"""A child that ends by itself is started again: at once, later, slowly, but always."""

import os
import signal
from dataclasses import replace
from pathlib import Path

from stigmer_cli.backoff import Backoff
from stigmer_cli.supervisor.policy import RestartPolicy
from tests.support.processes import DIES, SLEEP, child, supervised

QUICK = RestartPolicy(
    backoff=Backoff(initial_s=0.01, factor=2.0, cap_s=0.05, jitter=False), failures_max=5, slow_delay_s=0.2
)
NEVER_MIND = RestartPolicy(backoff=Backoff(initial_s=600, factor=1, cap_s=600, jitter=False))


async def test_a_killed_child_comes_back_as_another_process(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
        before = await it.child("a", lambda one: one.id, "running")
        assert before.id is not None
        os.kill(before.id.pid, signal.SIGKILL)

        after = await it.child("a", lambda one: one.id and one.id != before.id, "running again")

        assert after.restarts == 1
        assert after.last_exit is not None
        assert after.last_exit.signal == "SIGKILL"
        assert after.last_exit.why == "killed by SIGKILL from outside: kill -9, or the kernel short of memory"


async def test_a_crash_loop_ends_in_failed_with_its_reason_and_its_last_lines(tmp_path: Path) -> None:
    no_more = replace(QUICK, slow_delay_s=600)
    async with supervised(tmp_path, child(tmp_path, "a", DIES, restart=no_more)) as it:
        failed = await it.child("a", lambda one: one.state == "failed", "failed")

        assert failed.failures == 5
        assert failed.last_exit is not None
        assert (failed.last_exit.code, failed.last_exit.why) == (3, "ended by itself with exit code 3")
        assert (await it.ask("lines", "a"))["lines"]["a"] == ["about to die"] * 5


async def test_a_failed_child_is_still_tried_again(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", DIES, restart=QUICK)) as it:
        failed = await it.child("a", lambda one: one.state == "failed", "failed")

        await it.child("a", lambda one: one.restarts > failed.restarts, "tried once more")


async def test_a_failed_child_that_is_repaired_runs_again_without_a_request(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    code = f"import os; os.path.exists({str(mended)!r}) or exit(1); {SLEEP}"
    async with supervised(tmp_path, child(tmp_path, "a", code, restart=QUICK)) as it:
        await it.child("a", lambda one: one.state == "failed", "failed")
        mended.touch()

        await it.says("a")


async def test_start_brings_a_waiting_child_back_at_once_and_forgets_its_failures(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    code = f"import os; os.path.exists({str(mended)!r}) or exit(1); {SLEEP}"
    async with supervised(tmp_path, child(tmp_path, "a", code, restart=NEVER_MIND)) as it:
        await it.child("a", lambda one: one.state == "backing-off", "waiting")
        mended.touch()

        assert await it.ask("start", "a") == {"ok": True}

        await it.says("a")
        back = await it.child("a", lambda one: one.state == "running", "running")
        assert back.failures == 0


async def test_start_does_not_touch_a_child_that_runs(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
        before = await it.child("a", lambda one: one.id, "running")
        await it.ask("start", "a")
        await it.ask("ping")

        after = await it.child("a", lambda one: one.id, "running")

        assert after.id == before.id


async def test_restart_replaces_one_child_and_leaves_the_other(tmp_path: Path) -> None:
    async with supervised(tmp_path, child(tmp_path, "a", SLEEP), child(tmp_path, "b", SLEEP)) as it:
        record = await it.until(lambda one: all(c.id for c in one.children), "both running")
        a, b = record.children
        await it.ask("restart", "a")

        await it.child("a", lambda one: one.id and one.id != a.id, "another process")

        assert (await it.child("b", lambda one: one.id, "running")).id == b.id


async def test_a_program_that_does_not_exist_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    missing = child(tmp_path, "a", "", argv=(str(tmp_path / "no-such-program"),), restart=QUICK)
    async with supervised(tmp_path, missing) as it:
        failed = await it.child("a", lambda one: one.state == "failed", "failed")

        assert failed.last_exit is not None
        program = tmp_path / "no-such-program"
        assert failed.last_exit.why == (
            f"could not be started: its program {program} is gone: it was moved, removed or upgraded"
        )


async def test_a_folder_that_does_not_exist_is_not_taken_for_the_program(tmp_path: Path) -> None:
    elsewhere = replace(child(tmp_path, "a", "", restart=QUICK), cwd=tmp_path / "no-such-folder")
    async with supervised(tmp_path, elsewhere) as it:
        failed = await it.child("a", lambda one: one.state == "failed", "failed")

        assert failed.last_exit is not None
        assert failed.last_exit.why.startswith("could not be started: [Errno 2] No such file or directory")
