"""Clocks that are apart are told, with whose and by how much; what is old is judged by the clock that wrote it."""

from dataclasses import replace
from typing import Any

import pytest

from stigmer_cli.api.health import Health
from stigmer_cli.clock import iso
from stigmer_cli.doctor.checks import clocks, executions
from stigmer_cli.doctor.facts.facts import Facts, ServerSeen, known
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.runner_record import RunnerRecord
from tests.support.fakes import START
from tests.unit.doctor.facts_builder import brief, having, health, healthy, stuck

HINT = "sudo timedatectl set-ntp true"


def told(ahead_s: float | None = 0.0, **clock: Any) -> Facts:
    """A server whose rows are written by a clock so far ahead of this command's."""
    body = {**health().model_dump(mode="json", by_alias=True), "clock": {"now": iso(START), **clock}}
    return healthy(server=ServerSeen(url="http://x", health=Health.model_validate(body), ahead_s=ahead_s))


def runner(*, clock_ahead_s: float) -> RunnerRecord:
    """A runner of this home that takes up work."""
    return RunnerRecord(
        pid=13,
        mark="m",
        state="served",
        cause="",
        server="http://x",
        since=iso(START),
        clock_ahead_s=clock_ahead_s,
    )


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (told(), ("pass", "the clocks of this command, the server and Temporal agree", "")),
        (told(1.5, temporalAheadS=-1.5), ("pass", "the clocks of this command, the server and Temporal agree", "")),
        (told(3600.0), ("warn", "the server's clock is 1h ahead of that of this machine", HINT)),
        (told(temporalAheadS=-300.0), ("warn", "Temporal's clock is 5m behind the server's", HINT)),
        (
            told(600.0, ownAheadS=-600.0),
            ("warn", "the server's clock is 10m behind the database's", HINT),
        ),
        (
            told(setS=-3600.0, sleptS=0.0, jumpedAgoS=30.0),
            (
                "info",
                "the server's clock was set back by 1h, 30s ago; whatever waited was looked at again at once",
                "",
            ),
        ),
        (
            told(setS=0.0, sleptS=28800.0, jumpedAgoS=90.0),
            (
                "info",
                "the server's machine slept for 8h, 1m 30s ago; whatever waited was looked at again at once",
                "",
            ),
        ),
        (told(setS=3600.0, sleptS=0.0, jumpedAgoS=601.0), ("pass", None, "")),
        (
            replace(told(), runners=known((runner(clock_ahead_s=-300.0),))),
            ("warn", "the clock of the runner (pid 13) is 5m behind the server's", HINT),
        ),
        (told(None), ("skip", "no server tells what time it is", "")),
    ],
)
async def test_clocks_that_are_apart_are_named(facts: Facts, expected: tuple[str, str | None, str]) -> None:
    result, message, hint = brief(await clocks.clocks(facts))
    assert (result, hint) == (expected[0], expected[2])
    assert expected[1] in (None, message)


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
async def test_an_execution_is_as_old_as_the_clock_says_that_wrote_it(ahead_s: float) -> None:
    def facts(age_s: float) -> Facts:
        seen = ServerSeen(url="http://x", health=health(), ahead_s=ahead_s)
        late = stuck(StuckClass.STARTING_LATE, phase=Phase.PENDING, age_s=age_s - ahead_s)
        return healthy(executions=having(late), server=seen)

    assert "the oldest 6s old" in (await executions.late(facts(6.0))).message
    assert "the oldest 1m old" in (await executions.late(facts(60.0))).message
