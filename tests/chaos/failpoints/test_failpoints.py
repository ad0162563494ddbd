"""Each part is killed between two steps of dispatch, claim and report; the request is still done exactly once."""

import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module

import pytest
from _pytest.mark import ParameterSet

from tests.chaos.failpoints.harness import INJECT, ROOT, FailpointHarness, KeyedRequest, Line
from tests.chaos.failpoints.points import GONE, POINTS, RUNNER_POINTS, SERVER_POINTS, Point, functions_of, owner_of
from tests.support.fakes_runner import crash_cost_max_s
from tests.support.running_server import make_agent

DIE_MAX_S = 15.0

SIMILAR = {
    "claim arrived",
    "outcome arrived",
    "claim wanted",
    "outcome wanted",
}
"""Steps that differ little from the next one; only tested with --slow."""


def cases(points: Sequence[Point]) -> list[ParameterSet]:
    """The points by name; those in SIMILAR are slow."""
    return [pytest.param(point.name, marks=[pytest.mark.slow] if point.name in SIMILAR else []) for point in points]


@pytest.mark.parametrize("point", cases(SERVER_POINTS))
async def test_a_server_killed_at_any_step_loses_nothing_and_repeats_nothing(
    harness: FailpointHarness, point: str
) -> None:
    server, request = harness.server, harness.request()
    await harness.until_all_poll()
    async with server.client() as client:
        await make_agent(client)
        with harness.server_points.arm(point):
            await harness.ask(client, request)
            await harness.wait_server_dead(DIE_MAX_S)
    server.kill()
    await server.start()
    async with server.client() as client:
        # The repeat of a client that heard nothing, with its key: it gets the id that there is.
        assert await harness.ask(client, request)
        await harness.wait_settled(client, request)
    assert len(_claims(harness.server_points.ledger(), request)) == 1


@pytest.mark.parametrize("point", cases(RUNNER_POINTS))
async def test_a_runner_killed_at_any_step_costs_less_than_five_seconds_and_repeats_nothing(
    harness: FailpointHarness, point: str
) -> None:
    server, request = harness.server, harness.request()
    await harness.until_all_poll()
    async with server.client() as client:
        # A quick answer goes with its outcome: only one that takes its time is reported before.
        await make_agent(client, model="echo:slow" if point == "message taken" else "echo")
        with harness.runner_points.arm(point):
            assert await harness.ask(client, request)
            dead = await harness.wait_runner_dead(DIE_MAX_S)
        dead.kill()
        dead.start()
        await harness.wait_settled(client, request)
    assert len(_claims(harness.server_points.ledger(), request)) == 1
    cost_s = _cost_s(harness.runner_points.ledger(), request)
    print(f"killed at {point!r}: the retry runs after {cost_s:.2f} s")
    assert cost_s < crash_cost_max_s()


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_every_failpoint_wraps_an_existing_function(point: Point) -> None:
    assert functions_of(point, owner_of(point, import_module(point.module)))


def test_a_process_that_lacks_what_a_failpoint_wraps_ends_at_once(harness: FailpointHarness) -> None:
    program = (
        "from dataclasses import replace; from tests.chaos.failpoints import points;"
        "points.POINTS = tuple(replace(p, function='renamed') for p in points.POINTS if p.module == points.RUNS);"
        "import stigmer_cli.store.runs"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**harness.server_points.environment, "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        GONE,
        "no stigmer_cli.store.runs:RunTable.renamed, which the failpoint 'claim arrived' wraps\n",
    )


def test_a_plan_that_nothing_reaches_fails_the_test(harness: FailpointHarness) -> None:
    with (
        pytest.raises(AssertionError, match="never reached: claim arrived"),
        harness.server_points.arm("claim arrived"),
    ):
        pass
    assert (INJECT / "sitecustomize.py").is_file()


def _claims(ledger: list[Line], request: KeyedRequest) -> set[object]:
    """The runs that came to claim the request."""
    return {line["run"] for line in ledger if line["point"] == "claim arrived" and line.get("execution") in request.ids}


def _cost_s(ledger: list[Line], request: KeyedRequest) -> float:
    """From the death to the next sign of another attempt."""
    mine = [line for line in ledger if line.get("execution") in request.ids]
    (death,) = [line for line in mine if line["act"] == "kill"]
    died_at = float(str(death["at"]))
    later = [float(str(line["at"])) for line in mine if line["pid"] != death["pid"]]
    assert max(later, default=0.0) > died_at, "nobody took it up again"
    return min(at for at in later if at > died_at) - died_at
