"""Whoever tells that an execution is stuck says the judge's word, cause and way out: the wire, the commands, doctor."""

import io

import pytest
from rich.console import Console

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.findings import Finding
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.stuck import StuckReport
from stigmer_cli.cli.execution_reason import NAMED_IN_CAUSE
from stigmer_cli.cli.executions.follow import describe_timeout
from stigmer_cli.cli.executions.list_tables import print_stuck
from stigmer_cli.cli.executions.tables import print_execution
from stigmer_cli.clock import iso
from stigmer_cli.doctor.catalog import CHECKS
from stigmer_cli.doctor.check import Category
from stigmer_cli.doctor.facts.facts import ExecutionsSeen
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.judgement.stuck import FINDINGS, Stuck
from stigmer_cli.judgement.wire import stuck_body, stuck_groups
from tests.support.execution_rows import row
from tests.support.fakes import START
from tests.unit.doctor.facts_builder import healthy

PHASES: dict[StuckClass, Phase] = {
    StuckClass.QUEUED: Phase.PENDING,
    StuckClass.ORPHAN: Phase.PENDING,
    StuckClass.WAITING_FOR_RUNNER: Phase.PENDING,
    StuckClass.STARTING_LATE: Phase.PENDING,
}
"""Where each class is met; all others IN_PROGRESS."""


def _judged(kind: StuckClass) -> Stuck:
    execution = row(PHASES.get(kind, Phase.IN_PROGRESS), submitted_s_ago=60)
    return Stuck(execution=execution, kind=kind, cause="the cause of it", since=START)


def _over_the_wire(one: Stuck) -> ExecutionResource:
    sent = execution_resource(one.execution, stuck_body(one)).model_dump_json(by_alias=True)
    return ExecutionResource.model_validate_json(sent)


def _page() -> Console:
    return Console(file=io.StringIO(), width=200)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("kind", list(StuckClass))
def test_the_wire_carries_class_cause_since_and_hint(kind: StuckClass) -> None:
    one = _judged(kind)
    assert execution_resource(one.execution, stuck_body(one)).to_wire()["stuck"] == {
        "class": str(kind),
        "cause": "the cause of it",
        "since": iso(START),
        "hint": one.hint,
    }
    assert "stuck" not in execution_resource(one.execution).to_wire()


@pytest.mark.parametrize("kind", list(StuckClass))
def test_the_commands_say_what_the_wire_says(kind: StuckClass) -> None:
    one = _judged(kind)
    item, listed, shown = _over_the_wire(one), _page(), _page()
    print_stuck(listed, [item], START)
    assert f"{one.execution.id}  {kind}" in _text(listed)
    assert "the cause of it" in _text(listed)
    print_execution(shown, item, [], [])
    reason = "the cause of it" if kind in NAMED_IN_CAUSE else f"{kind}: the cause of it"
    assert f"why:       {reason}\n" in _text(shown)
    error = describe_timeout(item, 9)
    assert error.message == f"{one.execution.id} still {one.execution.phase} after 9s: {reason}"
    assert error.hint == one.hint


@pytest.mark.parametrize("kind", list(StuckClass))
async def test_doctor_says_what_the_wire_says(kind: StuckClass) -> None:
    one = _judged(kind)
    report = StuckReport(groups=stuck_groups([one]), is_whole=True).model_dump_json(by_alias=True)
    facts = healthy(executions=ExecutionsSeen(stuck=StuckReport.model_validate_json(report)))
    told = [
        found
        for check in CHECKS
        if check.category is Category.EXECUTIONS and (found := await check.probe(facts)).result != "pass"
    ]
    if kind is StuckClass.UNKNOWN:  # why Temporal could not be asked is told by the checks of Temporal
        assert told == []
        return
    [found] = told
    assert found.message == f"1 execution ({one.execution.id}; the oldest 1h old) {kind}: the cause of it"
    assert found.hint.split(" --yes")[0].split()[:3] == one.hint.split(",")[0].split()[:3]


def test_a_reconcile_calls_what_is_stuck_by_the_same_word() -> None:
    assert [(str(finding), str(kind)) for finding, kind in FINDINGS.items() if str(finding) != str(kind)] == []
    assert {str(finding) for finding in Finding} & {str(kind) for kind in StuckClass} == {
        *map(str, FINDINGS),
        str(StuckClass.QUEUED),
    }
