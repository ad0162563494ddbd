"""What doctor says of runners that take up no work, from what they say of themselves."""

from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.clock import iso
from stigmer_cli.doctor.catalog import BY_CODE
from stigmer_cli.doctor.check import Found, Result
from stigmer_cli.doctor.facts.facts import Facts, TemporalSeen, known
from stigmer_cli.runner_record import RunnerRecord
from stigmer_cli.temporal.gateway import Poller
from tests.support.fakes import START
from tests.unit.doctor.facts_builder import healthy

CAUSE = "the server at http://127.0.0.1:7234 cannot be reached (connection refused)"
CODES = {"asking": "STG113", "silent": "STG113", "refused": "STG114", "foreign": "STG115", "mismatched": "STG115"}


def record(state: str, *, pid: int = 4711, age_s: float = 60.0, cause: str = CAUSE) -> RunnerRecord:
    return RunnerRecord(
        pid=pid,
        mark="boot:1",
        state=state,
        cause="" if state == "served" else cause,
        server="http://127.0.0.1:7234",
        since=iso(START - timedelta(seconds=age_s)),
    )


def saying(*records: RunnerRecord, pollers: tuple[Poller, ...] = ()) -> Facts:
    seen = TemporalSeen(state="CONNECTED", pollers=pollers)
    return replace(healthy(temporal=seen), runners=known(records))


async def found(code: str, given: Facts) -> Found:
    return await BY_CODE[code](given)


@pytest.mark.parametrize("state", CODES)
async def test_each_state_is_reported_under_its_own_code_with_the_cause(state: str) -> None:
    given = saying(record(state))
    for code in sorted(set(CODES.values())):
        told = await found(code, given)
        assert told.result is (Result.FAIL if code == CODES[state] else Result.PASS)
    told = await found(CODES[state], given)
    assert told.message == f"the runner (pid 4711) takes up no work: {CAUSE}"
    assert told.hint == "kill 4711", "nobody's stack keeps it"


async def test_a_runner_that_has_just_started_may_still_look_for_its_server() -> None:
    told = await found("STG113", saying(record("asking", age_s=1)))
    assert (told.result, told.hint) == (Result.WARN, "stigmer doctor --wait=10")
    under_a_clock_ahead = await found("STG113", saying(record("asking", age_s=-3600)))
    assert under_a_clock_ahead.result is Result.FAIL


async def test_it_is_a_warning_while_another_runner_polls() -> None:
    other = Poller(identity="stigmer-runner/1@far/1/0.1.0", last_access_at=START)
    told = await found("STG114", saying(record("refused"), pollers=(other,)))
    assert told.result is Result.WARN
    assert told.message.endswith("; others do")


async def test_runners_that_are_served_pass_and_none_is_nothing_to_judge() -> None:
    told = await found("STG113", saying(record("served"), record("served", pid=4712)))
    assert (told.result, told.message) == (Result.PASS, "2 runners of this home: each reaches its server")
    assert (await found("STG113", saying())).result is Result.SKIP
