"""A stack in which the wall clock of one part is wrong, or is set while everything runs."""

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
        ("runner", HOUR_S),
        ("runner", -300),
        ("server", HOUR_S),
        ("supervisor", HOUR_S),
        ("supervisor", -HOUR_S),
        ("command", HOUR_S),
        ("command", -HOUR_S),
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


@pytest.mark.parametrize("part", ["server", "runner", "supervisor"])
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
