"""A stack in which the wall clock of one part is wrong, or is set while everything runs."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.clock_shim import ClockShim
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until

HOUR_S = 3600.0


@pytest.fixture
def clocks(tmp_path: Path) -> ClockShim:
    return ClockShim(tmp_path)


@pytest.fixture
def stigmer(tmp_path: Path, clocks: ClockShim) -> Iterator[Stigmer]:
    with installed(tmp_path / "home", clocks.environment) as one:
        yield one


@pytest.mark.parametrize(
    ("part", "ahead_s"),
    [
        pytest.param("runner", HOUR_S, marks=pytest.mark.slow),
        ("runner", -300),
        ("server", HOUR_S),
        pytest.param("supervisor", HOUR_S, marks=pytest.mark.slow),
        ("supervisor", -HOUR_S),
        ("command", HOUR_S),
        pytest.param("command", -HOUR_S, marks=pytest.mark.slow),
    ],
)
def test_a_stack_comes_up_and_works_whichever_clock_is_wrong(
    stigmer: Stigmer, clocks: ClockShim, part: str, ahead_s: float
) -> None:
    clocks.set(part, ahead_s)
    stigmer.ok("up", "--wait-timeout", "45")
    assert stigmer.json("status")["state"] == "ready"
    stigmer.apply_agent()
    assert "hello" in stigmer.ok("run", "greeter", "hello")
    [row] = stigmer.ok("executions", "list").splitlines()[1:]
    checks = {one["code"]: one["result"] for one in stigmer.json("doctor", "--only", "STG122")["checks"]}
    assert checks["STG122"] == ("pass" if part == "supervisor" else "warn"), "rows, pollers and reports tell the time"
    assert re.search(r" COMPLETED +[0-9]{1,2}s ", row), "its age is told by the clock that wrote when it began"


@pytest.mark.parametrize("part", [pytest.param("server", marks=pytest.mark.slow), "runner", "supervisor"])
def test_a_part_whose_clock_is_set_says_so_and_works_on(stigmer: Stigmer, clocks: ClockShim, part: str) -> None:
    stigmer.ok("up")
    stigmer.apply_agent()
    log = stigmer.home / "logs" / f"{part}.log"

    def has_said_so(times: int) -> bool:
        return log.read_text().replace("clock jumped", "clock_jumped").count("clock_jumped") == times

    for times, ahead_s in enumerate((HOUR_S, 0), start=1):
        clocks.set(part, ahead_s)
        stigmer.ok("run", "greeter", "hello", "--timeout", "10")
        wait_until(partial(has_said_so, times), within_s=5)
    assert stigmer.json("status")["state"] == "ready"


WAITS = """
document: {dsl: '1.0.3', namespace: test, name: waits, version: '1.0.0'}
do:
  - a: {wait: {seconds: 7}}
  - b:
      try:
        - c: {listen: {to: {one: {with: {type: never}}}}, timeout: {after: {seconds: 7}}}
      catch: {errors: {with: {status: 408}}, do: [{d: {set: {is: late}}}]}
"""


def test_a_wait_lasts_no_longer_because_the_clock_was_ahead_when_it_began(stigmer: Stigmer, clocks: ClockShim) -> None:
    stigmer.ok("up")
    stigmer.ok("apply", "-f", "-", stdin=WAITS)
    clocks.set("server", HOUR_S)
    wait_until(partial(_says, stigmer, "clock_jumped", 1), within_s=10)
    id_ = stigmer.ok("run", "waits", "-d").strip()
    wait_until(partial(_waits_for, stigmer, id_, "time"), within_s=20)
    clocks.set("server", 0)
    wait_until(partial(_says, stigmer, "waits_corrected", 1), within_s=10)
    clocks.set("server", HOUR_S)
    wait_until(partial(_says, stigmer, "clock_jumped", 3), within_s=10)
    wait_until(partial(_waits_for, stigmer, id_, "event"), within_s=20)
    clocks.set("server", 0)
    done = stigmer("executions", "watch", id_, timeout_s=40)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"is": "late"}), done.stderr


def _waits_for(stigmer: Stigmer, id_: str, word: str) -> bool:
    waiting = stigmer.json("executions", "get", id_)["status"].get("waiting")
    return waiting is not None and waiting["for"] == word


def _says(stigmer: Stigmer, event: str, times: int) -> bool:
    return (stigmer.home / "logs" / "server.log").read_text().count(event) == times
