"""A healthy stack on a machine that gives nobody any time: it is not called ill, and a part that is frozen still is."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from stigmer_cli.supervisor.sign_of_life import shows_life
from tests.support.installed import Stigmer, frozen, installed
from tests.support.polling import wait_until

STOPPED_S, GOES_ON_S = 0.4, 0.1
"""A fifth of the time, in pieces: a deadline of a second ends while the command stands still."""

LOOPS = 8
ENDS_IN_S = 25


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    with installed(tmp_path_factory.mktemp("busy") / "home") as found:
        found.ok("up")
        found.apply_agent()
        found.ok("run", "greeter", "hello", "--timeout", "60")
        yield found


def starved(stigmer: Stigmer, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON of a command that is stopped for four fifths of its time."""
    with stigmer.spawn(*arguments, "-o", "json") as process:
        deadline = time.monotonic() + ENDS_IN_S
        while process.poll() is None:
            assert time.monotonic() < deadline, "it has to end however little time it gets"
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(STOPPED_S)
                os.kill(process.pid, signal.SIGCONT)
                time.sleep(GOES_ON_S)
        out, error = process.communicate()
    assert out, error
    return process.returncode, json.loads(out)


@contextmanager
def computing(number: int) -> Iterator[None]:
    """So many processes that take all the time they can get."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


def is_well(found: dict[str, Any]) -> bool:
    verdict = str(found["verdict"]["message"])
    return verdict == "healthy" or verdict.startswith("healthy as far as could be seen, ")


def test_a_doctor_that_gets_little_time_calls_nothing_ill(stigmer: Stigmer) -> None:
    code, found = starved(stigmer, "doctor")
    assert (code, found["ok"], is_well(found)) == (0, True, True), found["verdict"]


@pytest.mark.slow
def test_a_frozen_part_is_named_all_the_same(stigmer: Stigmer) -> None:
    pid = stigmer.pids()["runner"]
    with frozen(pid):
        code, found = starved(stigmer, "doctor")
    assert (code, found["verdict"]["code"]) == (1, "STG107")
    assert found["verdict"]["message"] == f"not healthy: runner (pid {pid}) is frozen by a signal (SIGSTOP)"


def test_a_status_that_gets_little_time_calls_nothing_ill(stigmer: Stigmer) -> None:
    code, found = starved(stigmer, "status")
    assert (code, found["state"]) == (0, "ready"), found


@pytest.mark.slow
def test_a_machine_with_much_else_to_do_makes_nothing_ill(stigmer: Stigmer) -> None:
    with computing(LOOPS):
        for _ in range(5):
            found = stigmer.json("doctor")
            assert (found["ok"], is_well(found)) == (True, True), found["verdict"]


@pytest.mark.slow
def test_strict_counts_what_was_not_judged(stigmer: Stigmer) -> None:
    with computing(LOOPS):
        done = stigmer("doctor", "--strict", "-o", "json")
    found = json.loads(done.stdout)
    assert done.returncode == (1 if found["summary"]["notJudged"] else 0), found["verdict"]


@pytest.mark.parametrize("part", ["temporal", "server", "runner"])
def test_a_frozen_part_is_not_ready_within_five_seconds(part: str, stigmer: Stigmer) -> None:
    pid = stigmer.pids()[part]
    with frozen(pid):
        began = time.monotonic()
        found = stigmer.json("status")
        assert time.monotonic() - began < 5.0
    shown = {one["name"]: (one["state"], one["detail"]) for one in found["parts"]}
    assert (found["state"], shown[part]) == ("degraded", ("not-ready", "frozen by a signal (SIGSTOP)"))
    wait_until(lambda: stigmer("status").returncode == 0, within_s=30)


def test_up_waits_for_a_frozen_runner_and_says_why(stigmer: Stigmer) -> None:
    pid = stigmer.pids()["runner"]
    with frozen(pid):
        done = stigmer("up", "--wait-timeout", "3")
    assert done.returncode == 124
    assert "the stack is not ready in time: runner: frozen by a signal (SIGSTOP)" in done.stderr
    assert stigmer("up").returncode == 0


def test_up_names_a_frozen_supervisor_and_how_it_goes_on(stigmer: Stigmer) -> None:
    pid = stigmer.pids()["supervisor"]
    with frozen(pid):
        done = stigmer("up", "--wait-timeout", "10")
    assert done.returncode == 1
    assert f"the supervisor (pid {pid}) of {stigmer.home} is frozen by a signal (SIGSTOP)" in done.stderr
    assert f"hint: kill -CONT {pid}" in done.stderr


def test_the_runner_of_a_stack_shows_that_its_loop_runs(stigmer: Stigmer) -> None:
    pid = stigmer.pids()["runner"]
    assert asyncio.run(shows_life(stigmer.home / "run", "runner", pid, within_s=5.0)) is True
