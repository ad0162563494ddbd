"""Repairs: each tried once, causes first, what hid behind them next, and told of what was left alone and why."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from stigmer_cli.doctor.catalog import BY_CODE, CHECKS
from stigmer_cli.doctor.check import SILENT, Found, Judged, failed, passed, unjudged, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.repairs.dead_supervisor import CLEAR_THE_DEAD
from stigmer_cli.doctor.repairs.fix import ActResult, Fix, FixOutcome, FixResult, done, left
from stigmer_cli.doctor.repairs.fix import failed as not_done
from stigmer_cli.doctor.repairs.modes import SHUT_HOME, SHUT_TOKEN
from stigmer_cli.doctor.repairs.orphans import BRING_BACK
from stigmer_cli.doctor.repairs.parts import START_PART
from stigmer_cli.doctor.repairs.repair import repair
from stigmer_cli.doctor.report import Diagnosis, Report
from stigmer_cli.errors import MachineError
from tests.support.fakes import ManualClock
from tests.unit.doctor.facts_builder import healthy

ILL, ODD, WELL = failed("ill", "heal"), warned("odd", "look"), passed("well")
LATE = unjudged(SILENT, "no answer within 1s", "look")


Repairs = Mapping[str, Fix]


def judged(code: str, found: Found = ILL, repairs: Repairs = MappingProxyType({})) -> Judged:
    """A finding of the check with this code, which has the repair of `repairs` in place of its own."""
    return Judged(check=replace(BY_CODE[code], repair=repairs.get(code)), found=found)


class HurriedClock(ManualClock):
    """Time that moves on as soon as somebody waits for it."""

    async def sleep(self, delay_s: float) -> None:
        await self.advance(delay_s)


class Patient:
    """A stack that gives one diagnosis after the other; the last one stays."""

    def __init__(self, *diagnoses: dict[str, Found]) -> None:
        self.diagnoses = list(diagnoses)
        self.looks = 0
        self.told: list[str] = []
        self.repairs: Repairs = {}

    async def diagnose(self) -> Diagnosis:
        found = self.diagnoses[min(self.looks, len(self.diagnoses) - 1)]
        self.looks += 1
        report = Report(judged=tuple(judged(code, one, self.repairs) for code, one in found.items()))
        return Diagnosis(facts=healthy(), report=report)

    async def repair(self, *repairs: Repairs) -> list[tuple[str, str, str]]:
        self.repairs = {code: fix for one in repairs for code, fix in one.items()}
        seen = await repair(self.diagnose, tell=self.told.append, clock=HurriedClock())
        assert seen.report.fixes is not None
        return [(one.code, str(one.outcome), one.message) for one in seen.report.fixes]


def fix(*codes: str, came: ActResult | Exception, settles_s: float = 1.0) -> Repairs:
    async def act(_facts: Facts, _one: Judged) -> ActResult:
        if isinstance(came, Exception):
            raise came
        return came

    return dict.fromkeys(codes, Fix(action="mend it", act=act, settles_s=settles_s))


async def test_a_healthy_stack_is_looked_at_once_and_left_as_it_is() -> None:
    patient = Patient({"STG101": WELL})
    assert await patient.repair(fix("STG101", came=done("touched"))) == []
    assert (patient.looks, patient.told) == (1, [])


async def test_what_was_repaired_is_checked_again_and_the_second_result_is_reported() -> None:
    patient = Patient({"STG101": ILL}, {"STG101": WELL})
    assert await patient.repair(fix("STG101", came=done("shut"))) == [("STG101", "done", "shut")]
    assert (patient.looks, patient.told) == (2, ["STG101: trying to mend it"])


async def test_where_nothing_was_touched_nothing_is_looked_at_again() -> None:
    patient = Patient({"STG106": ILL})
    assert await patient.repair(fix("STG106", came=left("it runs"))) == [("STG106", "left", "it runs")]
    assert patient.looks == 1


async def test_what_has_no_repair_is_reported_as_left_alone_if_it_remains() -> None:
    patient = Patient({"STG101": ILL, "STG204": ILL, "STG404": ILL}, {"STG101": WELL, "STG404": ILL, "STG110": ODD})
    unasked = "no repair for it is safe without asking you"
    assert await patient.repair(fix("STG101", came=done("shut"))) == [
        ("STG101", "done", "shut"),
        ("STG404", "left", unasked),
        ("STG110", "left", unasked),
    ]


async def test_first_causes_are_repaired_first_and_warnings_last() -> None:
    patient = Patient({"STG504": ODD, "STG402": ILL, "STG105": ILL, "STG101": ODD})
    codes = [code for code, _, _ in await patient.repair(fix("STG101", "STG105", "STG402", "STG504", came=left("no")))]
    assert codes == ["STG105", "STG402", "STG101", "STG504"]


async def test_what_hid_behind_the_first_cause_is_repaired_in_the_same_call() -> None:
    patient = Patient({"STG105": ILL}, {"STG105": WELL, "STG402": ILL}, {"STG402": WELL})
    repairs = [fix("STG105", came=done("started"), settles_s=20.0), fix("STG402", came=done("brought back"))]
    assert await patient.repair(*repairs) == [("STG105", "done", "started"), ("STG402", "done", "brought back")]
    assert patient.looks == 3


@pytest.mark.parametrize("found", [LATE, failed("this check itself is broken: x", "look")])
async def test_what_could_not_be_judged_is_not_repaired_on_suspicion(found: Found) -> None:
    patient = Patient({"STG402": found})
    assert await patient.repair(fix("STG402", came=done("brought back"))) == [
        ("STG402", "left", "it could not be judged, so nothing was repaired")
    ]


async def test_a_repair_that_does_not_help_is_tried_once() -> None:
    patient = Patient({"STG101": ILL})
    assert await patient.repair(fix("STG101", came=done("shut"))) == [("STG101", "done", "shut")]
    assert patient.looks == 2


async def test_a_part_that_was_started_gets_its_time_until_it_is_connected() -> None:
    patient = Patient({"STG107": ILL}, {"STG207": ILL}, {"STG207": ILL}, {"STG207": WELL})
    assert await patient.repair(fix("STG107", came=done("started"), settles_s=20.0)) == [("STG107", "done", "started")]
    assert patient.looks == 4


async def test_runner_and_server_get_their_time_until_both_have_noticed_that_temporal_is_another_one() -> None:
    patient = Patient({"STG105": ILL}, {"STG115": ILL}, {"STG115": WELL})
    assert await patient.repair(fix("STG105", came=done("started"), settles_s=20.0)) == [("STG105", "done", "started")]
    assert patient.looks == 3


async def test_what_came_to_no_end_after_a_repair_is_looked_at_again() -> None:
    patient = Patient({"STG101": ODD}, {"STG101": WELL, "STG103": LATE}, {"STG101": WELL, "STG103": WELL})
    assert await patient.repair(fix("STG101", came=done("shut"))) == [("STG101", "done", "shut")]
    assert patient.looks == 3


async def test_the_wait_for_a_started_part_has_an_end() -> None:
    patient = Patient({"STG107": ILL}, {"STG207": ILL})
    assert [code for code, _, _ in await patient.repair(fix("STG107", came=done("started"), settles_s=2.0))] == [
        "STG107",
        "STG207",
    ]
    assert patient.looks == 6, "one before, and one every half second of two"


async def test_nobody_waits_for_a_part_that_did_not_start() -> None:
    patient = Patient({"STG107": ILL})
    await patient.repair(fix("STG107", came=not_done("it ended again"), settles_s=20.0))
    assert patient.looks == 2


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MachineError("read-only"), "read-only"),
        (PermissionError("not yours"), "not yours"),
        (KeyError("x"), "this repair itself is broken: KeyError: 'x'"),
    ],
)
async def test_a_repair_that_raises_is_reported_as_failed_and_the_others_still_run(
    error: Exception, message: str
) -> None:
    patient = Patient({"STG105": ILL, "STG402": ILL})
    assert await patient.repair(fix("STG105", came=error), fix("STG402", came=done("well"))) == [
        ("STG105", "failed", message),
        ("STG402", "done", "well"),
    ]


async def test_a_repair_that_hangs_is_given_up() -> None:
    async def hang(_facts: Facts, _one: Judged) -> ActResult:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    stuck = {"STG101": Fix(action="mend it", act=hang, act_max_s=0.05)}
    assert await Patient({"STG101": ILL}).repair(stuck) == [("STG101", "failed", "not done within 0.05s")]


def test_every_repair_stands_with_the_checks_that_it_answers() -> None:
    assert {check.code: check.repair for check in CHECKS if check.repair} == {
        "STG101": SHUT_HOME,
        "STG104": CLEAR_THE_DEAD,
        "STG105": START_PART,
        "STG106": START_PART,
        "STG107": START_PART,
        "STG402": BRING_BACK,
        "STG406": BRING_BACK,
        "STG411": BRING_BACK,
        "STG504": SHUT_TOKEN,
    }
    assert {check.part: check.code for check in CHECKS if check.repair is START_PART} == {
        "temporal": "STG105",
        "server": "STG106",
        "runner": "STG107",
    }


def test_only_what_a_part_needs_a_moment_for_may_pass_by_itself() -> None:
    assert {check.code for check in CHECKS if check.settles} == {
        *("STG105", "STG106", "STG107", "STG108", "STG113", "STG115"),
        *("STG201", "STG202", "STG203", "STG204", "STG205", "STG207", "STG212"),
    }


def test_a_repair_in_json() -> None:
    one = FixResult(code="STG101", action="mend it", outcome=FixOutcome.DONE, message="shut")
    assert one.to_json() == {"code": "STG101", "action": "mend it", "outcome": "done", "message": "shut"}
