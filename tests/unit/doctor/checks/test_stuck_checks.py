"""Checks of open runs that do not get on, each from what the server says."""

import pytest

from stigmer_cli.api.stuck import StuckGroup, StuckReport
from stigmer_cli.clock import iso
from stigmer_cli.doctor import stuck
from stigmer_cli.doctor.facts.facts import ExecutionsSeen, Facts
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from tests.support.fakes import START
from tests.unit.doctor.plain import brief, healthy

ID = "aex-00000000000000000000000001"
WHICH = f"1 execution ({ID}; the oldest 0 s old)"


def _facts(*groups: tuple[StuckClass, Phase], **changes: object) -> Facts:
    report = StuckReport(
        groups=[
            StuckGroup.model_validate(
                {"class": kind, "phase": phase, "count": 1, "ids": [ID], "oldestAt": iso(START), "cause": "because"}
            )
            for kind, phase in groups
        ],
        is_whole=True,
    )
    return healthy(executions=ExecutionsSeen(stuck=report), **changes)


@pytest.mark.parametrize(
    ("phase", "hint"),
    [
        (Phase.PENDING, f"stigmer executions reconcile {ID}"),
        (Phase.IN_PROGRESS, f"stigmer executions reconcile {ID} --include-in-progress"),
    ],
)
async def test_what_cannot_be_replayed_fails_with_the_way_out_that_its_phase_wants(phase: Phase, hint: str) -> None:
    found = await stuck.cannot_replay(_facts((StuckClass.CANNOT_REPLAY, phase)))
    assert brief(found) == ("fail", f"{WHICH} cannot go on: because", hint)


async def test_what_keeps_failing_wants_another_runner_or_its_end() -> None:
    groups = (StuckClass.KEEPS_FAILING, Phase.PENDING)
    words = f"{WHICH} failing again and again: because"
    assert brief(await stuck.keeps_failing(_facts(groups))) == ("fail", words, "stigmer restart runner")
    elsewhere = _facts(groups, endpoints=None)
    assert brief(await stuck.keeps_failing(elsewhere)) == ("fail", words, f"stigmer executions cancel {ID}")


@pytest.mark.parametrize(
    ("kind", "result", "hint"),
    [
        (StuckClass.WAITING_FOR_RUNNER, "fail", "stigmer restart runner"),
        (StuckClass.STARTING_LATE, "warn", "stigmer work"),
    ],
)
async def test_what_is_in_progress_and_nobody_works_on_it(kind: StuckClass, result: str, hint: str) -> None:
    found = await stuck.standing_still(_facts((kind, Phase.IN_PROGRESS)))
    assert brief(found) == (result, f"{WHICH} in progress, and nobody works on it: because", hint)
    assert (await stuck.standing_still(_facts((kind, Phase.PENDING)))).result == "pass"


@pytest.mark.parametrize("probe", [stuck.cannot_replay, stuck.keeps_failing, stuck.standing_still])
async def test_all_is_well_only_where_the_server_said_so(probe: object) -> None:
    assert callable(probe)
    assert (await probe(_facts())).result == "pass"
    assert (await probe(healthy(executions=ExecutionsSeen()))).result == "skip"
