"""The runner: by dependency, with deadlines, one broken check breaks no other."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from stigmer_cli.api.health import LoadHealth
from stigmer_cli.clock import SystemClock
from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.catalog import CHECKS
from stigmer_cli.doctor.check import BUSY, Check, Found, Judged, Severity, failed, passed, skipped, told, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.run_checks import diagnose
from tests.support.machine_load import slack
from tests.unit.doctor.facts_builder import health, healthy, server

STARVED_RUNS_MAX = 5

Probe = Callable[[Facts], Awaitable[Found]]


def answering(found: Found) -> Probe:
    async def probe(_: Facts) -> Found:
        return found

    return probe


async def hang(_: Facts) -> Found:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def crash(_: Facts) -> Found:
    raise KeyError("gone")


def check(code: str, probe: Probe, *needs: str, severity: Severity = Severity.ERROR, timeout_s: float = 1.0) -> Check:
    return Check(
        code=code,
        name=code,
        severity=severity,
        explanation="",
        probe=probe,
        needs=needs,
        timeout_s=timeout_s,
    )


async def run(*checks: Check, total_s: float = 2.0) -> dict[str, Judged]:
    return {one.check.code: one for one in await diagnose(checks, healthy(), clock=SystemClock(), total_s=total_s)}


async def run_unstarved(*checks: Check, total_s: float = 2.0) -> dict[str, Judged]:
    """What `run` found, of the first of five runs in which this process was not starved of processor time."""
    found = await run(*checks, total_s=total_s)
    for _ in range(STARVED_RUNS_MAX - 1):
        if all(one.found.unjudged != BUSY for one in found.values()):
            break
        found = await run(*checks, total_s=total_s)
    return found


WELL, ILL = answering(passed("well")), answering(failed("ill", "heal"))


async def test_a_dependent_knows_the_first_cause_and_not_the_nearest() -> None:
    found = await run(check("A", ILL), check("B", WELL, "A"), check("C", WELL, "B"), check("D", WELL))
    assert [(code, str(one.found.result), one.found.message) for code, one in found.items()] == [
        ("A", "fail", "ill"),
        ("B", "skip", "because A"),
        ("C", "skip", "because A"),
        ("D", "pass", "well"),
    ]


@pytest.mark.parametrize("found", [warned("hm", "look"), told("so"), skipped("not here")])
async def test_only_a_failure_keeps_others_from_being_judged(found: Found) -> None:
    judged = await run(check("A", answering(found)), check("B", WELL, "A"))
    assert judged["B"].found.message == "well"


async def test_checks_are_reported_in_the_given_order() -> None:
    assert list(await run(check("B", WELL, "A"), check("A", WELL))) == ["B", "A"]


async def test_a_check_that_crashes_is_one_failed_check() -> None:
    found = await run(check("A", crash), check("B", WELL), check("C", WELL, "A"))
    assert found["A"].found.message == "this check itself is broken: KeyError: 'gone'"
    assert found["A"].found.hint == "stigmer doctor --skip A"
    assert (found["B"].found.message, found["C"].found.message) == ("well", "because A")


@pytest.mark.parametrize("severity", list(Severity))
async def test_a_check_that_hangs_is_not_judged_and_neither_is_what_needs_it(severity: Severity) -> None:
    found = await run_unstarved(check("A", hang, severity=severity, timeout_s=0.05), check("B", WELL, "A"))
    assert (found["A"].found.result, found["A"].found.unjudged) == ("skip", "no answer in time")
    assert found["A"].found.message == "could not be judged: no answer within 0.05s"
    assert found["B"].found.message == "because A"


async def test_a_server_that_says_that_it_is_busy_is_named_where_no_answer_came() -> None:
    busy = health().model_copy(update={"load": LoadHealth(busy=True, waiting=9, wait_s=0.7, refused=3)})
    facts = healthy(server=replace(server(), health=busy))
    await facts.server()
    hung = check("A", hang, timeout_s=0.05)
    [judged] = await diagnose([hung], facts, clock=SystemClock(), total_s=2.0)
    assert (judged.found.result, judged.found.unjudged) == ("skip", "the server is busy")
    assert judged.found.message == "could not be judged: the server is busy: no answer within 0.05s"


async def test_a_deadline_does_not_count_the_time_in_which_doctor_itself_stood_still() -> None:
    async def probe(_: Facts) -> Found:
        for _turn in range(3):
            time.sleep(0.3)  # noqa: ASYNC251 - the loop stands still, as it does without a processor
            await asyncio.sleep(0.01)
        return passed("well")

    assert (await run(check("A", probe, timeout_s=0.4)))["A"].found.message == "well"


async def test_a_machine_that_gives_doctor_no_time_is_named_as_the_cause() -> None:
    async def probe(_: Facts) -> Found:
        while True:
            time.sleep(0.2)  # noqa: ASYNC251 - the same, for good
            await asyncio.sleep(0.01)

    found = (await run(check("A", probe, timeout_s=0.1)))["A"].found
    assert (found.result, found.unjudged) == ("skip", "the machine is busy")
    assert found.message.startswith("could not be judged: the machine is busy: of ")


async def test_a_need_that_was_not_chosen_holds_nobody_up() -> None:
    assert (await run(check("B", WELL, "A")))["B"].found.message == "well"


async def test_a_chain_of_hanging_checks_ends_with_the_whole() -> None:
    codes = [f"S{number}" for number in range(6)]
    chain = [check(codes[0], hang, severity=Severity.INFO, timeout_s=0.2)]
    chain += [
        check(after, hang, before, severity=Severity.INFO, timeout_s=0.2) for before, after in pairwise(codes)
    ]  # an info blocks nobody
    began = time.monotonic()
    found = await run(*chain, total_s=0.5)
    assert time.monotonic() - began < 1.5
    assert len(found) == 6


async def test_all_checks_of_the_catalog_hanging_end_within_the_total() -> None:
    began = time.monotonic()
    hanging = [replace(one, probe=hang) for one in CHECKS if one.code != "STG510"]  # which starts what it looks at
    judged = await run_unstarved(*hanging, total_s=0.4)
    assert time.monotonic() - began < 2.0 * slack()
    assert len(judged) == len(CHECKS) - 1
    assert judged["STG506"].found.unjudged == "no answer in time"


async def test_a_check_that_may_take_longer_than_all_others_together_may_do_so() -> None:
    async def take_time(_: Facts) -> Found:
        await asyncio.sleep(0.3)
        return passed("slow")

    found = await run(check("STG001", take_time, timeout_s=10.0), check("STG002", hang), total_s=0.1)
    assert (found["STG001"].found, found["STG002"].found.message) == (
        passed("slow"),
        "could not be judged: no answer within 0.1s",
    )


async def test_work_that_blocks_its_thread_for_ever_holds_nobody_up() -> None:
    async def blocked(_: Facts) -> Found:
        await in_thread(lambda: time.sleep(5))
        raise AssertionError

    began = time.monotonic()
    found = await run(check("A", blocked, timeout_s=0.05), check("B", WELL))
    assert time.monotonic() - began < 2.0
    assert (str(found["A"].found.result), str(found["B"].found.result)) == ("skip", "pass")


async def test_an_error_in_a_thread_is_the_error_of_its_check() -> None:
    async def broken(_: Facts) -> Found:
        await in_thread(lambda: os.environ["STIGMER_NOTHING"])
        raise AssertionError

    found = await run(check("A", broken))
    assert found["A"].found.message == "this check itself is broken: KeyError: 'STIGMER_NOTHING'"
