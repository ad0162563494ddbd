"""The report: first causes before symptoms, sums, the shape that scripts rely on."""

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files

import jsonschema  # type: ignore[import-untyped] # its stubs are not installed
import pytest

from stigmer_cli.doctor.catalog import BY_CODE
from stigmer_cli.doctor.check import (
    BUSY,
    SERVER_BUSY,
    SILENT,
    Found,
    Judged,
    because,
    failed,
    passed,
    told,
    unjudged,
    warned,
)
from stigmer_cli.doctor.repairs.fix import FixOutcome
from stigmer_cli.doctor.report import Report, select_reported
from tests.unit.doctor.report_samples import REPAIRED, REPORT

SCHEMA = json.loads((files("stigmer_cli.doctor") / "schema.json").read_text())


def report(found: Mapping[str, Found], *, is_strict: bool = False) -> Report:
    return Report(
        judged=tuple(Judged(check=BY_CODE[code], found=one) for code, one in found.items()), is_strict=is_strict
    )


def ill(code: str) -> Found:
    return failed(f"{code} is ill", f"heal {code}")


@pytest.mark.parametrize(
    ("codes", "first"),
    [
        (("STG108", "STG103", "STG106"), "STG103"),
        (("STG404", "STG204", "STG105", "STG104"), "STG104"),
        (("STG207", "STG205", "STG401"), "STG205"),
        (("STG104", "STG203"), "STG203"),
        (("STG106", "STG301"), "STG301"),
        (("STG106", "STG102"), "STG102"),
        (("STG105", "STG129", "STG107"), "STG129"),
        (("STG105", "STG111"), "STG111"),
        (("STG403", "STG207"), "STG207"),
        (("STG405", "STG404", "STG504"), "STG404"),
        (("STG101", "STG501"), "STG501"),
    ],
)
def test_the_verdict_is_the_first_cause_and_not_the_first_symptom(codes: tuple[str, ...], first: str) -> None:
    verdict = report({code: ill(code) for code in codes}).verdict
    assert (verdict.code, verdict.message, verdict.hint) == (
        first,
        f"not healthy: {first} is ill",
        f"heal {first}",
    )


LATE = unjudged(BUSY, "the machine is busy: of 12s it left 0.4s to look", "stigmer doctor --only STG202 -v")


def test_what_was_not_judged_has_not_failed() -> None:
    found = {"STG101": passed("well"), "STG202": LATE, "STG203": because("STG202"), "STG108": because("STG106")}
    verdict = report(found).verdict
    assert (verdict.message, verdict.code, verdict.hint) == (
        "healthy as far as could be seen, 2 not judged (the machine is busy)",
        "",
        "stigmer doctor -v",
    )
    assert (report(found).exit_code, report(found, is_strict=True).exit_code) == (0, 1)
    assert report(found).to_json()["ok"] is True
    jsonschema.validate(report(found).to_json(), SCHEMA)


def test_a_server_that_is_busy_is_named_before_the_machine() -> None:
    busy = unjudged(SERVER_BUSY, "the server is busy: no answer within 1s", "look")
    assert report({"STG401": busy, "STG202": LATE}).verdict.message == (
        "healthy as far as could be seen, 2 not judged (the server is busy)"
    )


def test_a_look_that_had_its_time_and_got_no_answer_does_not_blame_the_machine() -> None:
    silent = unjudged(SILENT, "no answer within 1s", "look")
    assert report({"STG301": silent}).verdict.message == (
        "healthy as far as could be seen, 1 not judged (no answer in time)"
    )


def test_what_was_not_judged_hides_no_fault_and_no_warning() -> None:
    assert report({"STG202": LATE, "STG404": ill("STG404")}).verdict.message == "not healthy: STG404 is ill"
    assert report({"STG202": LATE, "STG110": warned("odd", "look")}).verdict.message == "healthy, with a warning: odd"


def test_warnings_are_listed_and_healthy_unless_strict() -> None:
    found = {"STG101": passed("well"), "STG110": warned("odd", "look")}
    assert report(found).verdict.message == "healthy, with a warning: odd"
    assert (report(found).exit_code, report(found, is_strict=True).exit_code) == (0, 1)


def test_all_well_is_one_word() -> None:
    whole = report({"STG101": passed("well"), "STG208": told("so")})
    assert (whole.verdict.message, whole.verdict.code, whole.exit_code) == ("healthy", "", 0)


def test_the_sums_count_every_check_once() -> None:
    assert REPORT.summary == {"passed": 4, "info": 1, "warnings": 1, "failed": 2, "skipped": 4, "notJudged": 0}


def test_only_tells_what_was_asked_for_and_what_keeps_it_from_being_judged() -> None:
    whole = report(
        {"STG101": passed("well"), "STG106": ill("STG106"), "STG108": because("STG106"), "STG404": because("STG106")}
    )
    told_of = select_reported(whole.judged, only=frozenset({"STG404"}))
    assert [one.check.code for one in told_of] == ["STG106", "STG404"]
    assert select_reported(whole.judged) == whole.judged


def test_what_blocks_the_blocker_is_told_too() -> None:
    whole = report({"STG103": ill("STG103"), "STG104": because("STG103"), "STG105": because("STG104")})
    told_of = Report(judged=select_reported(whole.judged, only=frozenset({"STG105"})))
    assert (told_of.verdict.code, told_of.exit_code) == ("STG103", 1)


def test_the_json_holds_to_its_schema() -> None:
    found = REPORT.to_json()
    jsonschema.validate(found, SCHEMA)
    assert found["ok"] is False
    assert found["verdict"] == {
        "code": "STG103",
        "message": "not healthy: port 7234 for server is held by pid 812 (python -m http.server --bind 127.0.0.1 7234)",
        "hint": "stigmer down && stigmer up --auto-ports",
    }
    assert found["checks"][5] == {  # type: ignore[index] # a list
        "code": "STG108",
        "category": "Stack",
        "name": "server API",
        "result": "skip",
        "message": "because STG106",
        "hint": "",
        "evidence": {},
        "durationMs": 12,
        "because": "STG106",
    }


def test_repairs_are_part_of_the_object_where_they_were_asked_for_and_only_there() -> None:
    assert "fixes" not in REPORT.to_json()
    assert replace(REPORT, fixes=()).to_json()["fixes"] == []
    found = REPAIRED.to_json()
    jsonschema.validate(found, SCHEMA)
    assert found["fixes"][0] == {  # type: ignore[index] # a list
        "code": "STG101",
        "action": "remove the rights of others from the folders of the home",
        "outcome": "done",
        "message": "removed the rights of others from /home/ada/.stigmer (was 0755)",
    }


def test_the_schema_knows_every_outcome_and_no_other() -> None:
    found = REPAIRED.to_json()
    assert SCHEMA["$defs"]["fix"]["properties"]["outcome"]["enum"] == list(FixOutcome)
    found["fixes"] = [{"code": "STG101", "action": "x", "outcome": "perhaps", "message": "x"}]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)


def test_the_schema_refuses_a_failure_without_a_command() -> None:
    found = report({"STG101": failed("ill", "")}).to_json()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)
