"""Checks of category Executions: each tells what the server judges, in the server's words."""

from itertools import product

import pytest

from stigmer_cli.doctor.catalog import CHECKS
from stigmer_cli.doctor.check import Category, Check, Found
from stigmer_cli.doctor.facts.facts import ExecutionsSeen
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from tests.unit.doctor.facts_builder import brief, execution, having, healthy, stuck

ONE, TWO = f"aex-{1:026d}", f"aex-{2:026d}"
WHICH = f"1 execution ({ONE}; the oldest 1m old)"
WAIT = "stigmer doctor --wait=30"
PENDING, IN_PROGRESS = Phase.PENDING, Phase.IN_PROGRESS
EXECUTION_CHECKS = [check for check in CHECKS if check.category is Category.EXECUTIONS]
BY_CODE = {check.code: check for check in EXECUTION_CHECKS}
CHECK_OF = {
    (StuckClass.QUEUED, PENDING): "STG401",
    (StuckClass.ORPHAN, PENDING): "STG402",
    (StuckClass.WAITING_FOR_RUNNER, PENDING): "STG403",
    (StuckClass.INTERRUPTED, PENDING): "STG411",
    (StuckClass.INTERRUPTED, IN_PROGRESS): "STG411",
    (StuckClass.KEEPS_INTERRUPTED, PENDING): "STG405",
    (StuckClass.KEEPS_INTERRUPTED, IN_PROGRESS): "STG405",
    (StuckClass.EFFECT_UNKNOWN, PENDING): "STG405",
    (StuckClass.EFFECT_UNKNOWN, IN_PROGRESS): "STG405",
    (StuckClass.JOURNAL_MISMATCH, PENDING): "STG405",
    (StuckClass.JOURNAL_MISMATCH, IN_PROGRESS): "STG405",
    (StuckClass.LOST, PENDING): "STG404",
    (StuckClass.LOST, IN_PROGRESS): "STG404",
    (StuckClass.REFUSED, PENDING): "STG405",
    (StuckClass.SUBMIT_FAILED, PENDING): "STG405",
    (StuckClass.RESULT_UNKNOWN, PENDING): "STG405",
    (StuckClass.RESULT_UNKNOWN, IN_PROGRESS): "STG405",
    (StuckClass.BEHIND, PENDING): "STG406",
    (StuckClass.BEHIND, IN_PROGRESS): "STG406",
    (StuckClass.STARTING_LATE, PENDING): "STG407",
    (StuckClass.HELD, PENDING): "STG405",
    (StuckClass.HELD, IN_PROGRESS): "STG405",
    (StuckClass.CANNOT_REPLAY, PENDING): "STG408",
    (StuckClass.CANNOT_REPLAY, IN_PROGRESS): "STG408",
    (StuckClass.KEEPS_FAILING, PENDING): "STG409",
    (StuckClass.KEEPS_FAILING, IN_PROGRESS): "STG409",
    (StuckClass.WAITING_FOR_RUNNER, IN_PROGRESS): "STG410",
    (StuckClass.STARTING_LATE, IN_PROGRESS): "STG410",
    (StuckClass.RATE_LIMITED, PENDING): "STG407",
    (StuckClass.RATE_LIMITED, IN_PROGRESS): "STG410",
}
"""Which check tells of it; what could not be asked about is told by the checks of Temporal."""


async def found_by(code: str, seen: ExecutionsSeen, **changes: object) -> Found:
    return await BY_CODE[code].probe(healthy(executions=seen, **changes))


@pytest.mark.parametrize(("kind", "phase"), list(product(StuckClass, (PENDING, IN_PROGRESS))))
async def test_each_class_is_reported_by_one_check_under_its_name(kind: StuckClass, phase: Phase) -> None:
    facts = healthy(executions=having(stuck(kind, phase=phase)))
    told = {check.code: found for check in EXECUTION_CHECKS if (found := await check.probe(facts)).result != "pass"}
    if (kind, phase) in CHECK_OF or kind is StuckClass.UNKNOWN:
        assert list(told) == [code for code in (CHECK_OF.get((kind, phase)),) if code]
    for found in told.values():
        assert found.message == f"{WHICH} {kind}: because"
        assert found.evidence["class"] == kind


@pytest.mark.parametrize(
    ("kind", "phase", "result", "here", "elsewhere"),
    [
        (StuckClass.QUEUED, PENDING, "fail", "stigmer restart server", "stigmer restart server"),
        (
            StuckClass.ORPHAN,
            PENDING,
            "fail",
            "stigmer executions reconcile --yes",
            "stigmer executions reconcile --yes",
        ),
        (StuckClass.WAITING_FOR_RUNNER, PENDING, "fail", "stigmer up", "stigmer work"),
        (StuckClass.STARTING_LATE, PENDING, "warn", "stigmer work", "stigmer work"),
        (
            StuckClass.KEEPS_FAILING,
            IN_PROGRESS,
            "fail",
            "stigmer restart runner",
            f"stigmer executions cancel {ONE}",
        ),
        (
            StuckClass.LOST,
            IN_PROGRESS,
            "fail",
            f"stigmer executions reconcile {ONE} --include-in-progress",
            f"stigmer executions reconcile {ONE} --include-in-progress",
        ),
        (
            StuckClass.CANNOT_REPLAY,
            PENDING,
            "fail",
            f"stigmer executions reconcile {ONE}",
            f"stigmer executions reconcile {ONE}",
        ),
    ],
)
async def test_the_way_out_is_the_judges_and_fits_where_the_stack_is(
    kind: StuckClass, phase: Phase, result: str, here: str, elsewhere: str
) -> None:
    code, seen = CHECK_OF[kind, phase], having(stuck(kind, phase=phase))
    assert brief(await found_by(code, seen))[::2] == (result, here)
    assert brief(await found_by(code, seen, endpoints=None))[::2] == (result, elsewhere)


async def test_a_limit_of_the_task_queue_is_removed_by_the_temporal_that_is_installed() -> None:
    command = "temporal task-queue config set --queue-rps-limit default"
    closed = stuck(StuckClass.RATE_LIMITED, ONE, command=command)
    result, message, hint = brief(await found_by("STG410", having(closed)))
    assert (result, message) == ("fail", f"{WHICH} rate-limited: because")
    assert hint.startswith("/")
    assert hint.endswith(f"/{command}")
    slow = stuck(StuckClass.RATE_LIMITED, ONE, phase=PENDING, command=command, passes=True)
    assert brief(await found_by("STG407", having(slow)))[::2] == ("warn", hint)


async def test_what_goes_on_by_itself_is_a_warning() -> None:
    away = stuck(StuckClass.QUEUED, phase=PENDING, cause="Temporal unreachable", passes=True)
    assert brief(await found_by("STG401", having(away))) == ("warn", f"{WHICH} queued: Temporal unreachable", WAIT)


async def test_what_temporal_has_no_room_for_is_reported_by_another_check() -> None:
    seen = having(
        stuck(StuckClass.QUEUED, phase=PENDING, passes=True), rows=(execution(dispatch={"reason": "temporal-busy"}),)
    )
    assert brief(await found_by("STG401", seen)) == ("skip", "because STG212", "")


async def test_up_to_five_ids_are_named_and_the_rest_counted() -> None:
    many = stuck(StuckClass.REFUSED, *(f"aex-{number:026d}" for number in range(1, 31)), phase=PENDING)
    found = await found_by("STG405", having(many))
    assert found.message.startswith(f"30 executions ({ONE}, {TWO}, ")
    assert " and 25 more; the oldest 1m old) refused: because" in found.message
    assert found.evidence["count"] == 30
    assert isinstance(found.evidence["ids"], list)
    assert len(found.evidence["ids"]) == 5


async def test_several_classes_of_one_check_are_reported_together_with_the_command_for_each() -> None:
    seen = having(stuck(StuckClass.CANNOT_REPLAY, ONE, phase=PENDING, age_s=120), stuck(StuckClass.CANNOT_REPLAY, TWO))
    assert brief(await found_by("STG408", seen)) == (
        "fail",
        f"2 executions ({ONE}, {TWO}; the oldest 2m old) cannot-replay: because",
        f"stigmer executions reconcile {ONE} && stigmer executions reconcile {TWO} --include-in-progress",
    )
    mixed = having(stuck(StuckClass.WAITING_FOR_RUNNER, ONE, age_s=120), stuck(StuckClass.STARTING_LATE, TWO))
    found = await found_by("STG410", mixed)
    assert " waiting for a runner or starting late: because" in found.message
    assert (found.result, found.hint) == ("fail", "stigmer up && stigmer work")


async def test_what_could_not_be_counted_to_the_end_is_counted_as_at_least() -> None:
    part = having(stuck(StuckClass.ORPHAN, phase=PENDING), is_whole=False)
    assert (await found_by("STG402", part)).message.startswith(f"at least {WHICH} orphan")
    assert "as far as could be looked up" in (await found_by("STG402", having(is_whole=False))).message


@pytest.mark.parametrize("check", EXECUTION_CHECKS, ids=lambda check: check.code)
async def test_where_nobody_could_ask_temporal_only_what_the_rows_say_is_known(check: Check) -> None:
    found = await check.probe(healthy(executions=having(is_judged=False)))
    assert found.result == ("pass" if check.code in {"STG401", "STG403", "STG405"} else "skip")
