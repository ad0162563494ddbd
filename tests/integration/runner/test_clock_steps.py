"""A real runner whose wall clock is wrong from the start, or is set while it polls: its worker stays on."""

import time
from pathlib import Path

import pytest

from stigmer_cli.temporal.gateway import RunState
from tests.integration.runner.conftest import STARTED_MAX_S, Harness
from tests.support.clock_shim import ClockShim
from tests.support.polling import until_true

REPLACED_WITHIN_S = 14.0
"""A worker that the task queue seems not to show, or not any more, is replaced after 8 to 10 seconds."""


@pytest.fixture
def clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClockShim:
    """The clock of the runner: no other process of the test is asked for it."""
    shim = ClockShim(tmp_path)
    for name, value in shim.environment.items():
        monkeypatch.setenv(name, value)
    return shim


async def _work(harness: Harness, *, for_s: float) -> None:
    """Have one run after the other performed."""
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        execution, _row = await harness.submit()
        assert (await harness.closed(execution, within_s=15)).state is RunState.COMPLETED


@pytest.mark.parametrize("ahead_s", [pytest.param(far_s, marks=pytest.mark.slow) for far_s in (3600.0, 300.0, -300.0)])
async def test_a_runner_whose_clock_is_wrong_is_seen_and_keeps_its_worker(
    harness: Harness, clocks: ClockShim, ahead_s: float
) -> None:
    harness.temporal.start()
    clocks.set("command", ahead_s)
    runner = harness.runner()
    await until_true(lambda: runner.says("worker_seen"), within_s=STARTED_MAX_S)
    await _work(harness, for_s=REPLACED_WITHIN_S)
    assert [event["event"] for event in runner.events()].count("worker_wanted") == 1


@pytest.mark.slow
@pytest.mark.parametrize("by_s", [-3600.0, 3600.0])
async def test_a_runner_whose_clock_is_set_says_so_once_and_keeps_its_worker(
    harness: Harness, clocks: ClockShim, by_s: float
) -> None:
    harness.temporal.start()
    runner = harness.runner()
    await until_true(lambda: runner.says("worker_seen"), within_s=STARTED_MAX_S)
    clocks.set("command", by_s)
    await until_true(lambda: runner.says("clock_jumped"), within_s=5)
    await _work(harness, for_s=REPLACED_WITHIN_S)
    events = [event["event"] for event in runner.events()]
    assert (events.count("worker_wanted"), events.count("clock_jumped")) == (1, 1)
