"""When an execution counts as done twice, and which faults a drill injects."""

from datetime import UTC, datetime

import pytest

from stigmer_cli.api.resources import EventBody
from stigmer_cli.cli.drill.commands import FaultName
from stigmer_cli.cli.drill.drill import DrillOptions, DrillRow, choose_faults
from stigmer_cli.cli.drill.faults import FAULTS, FORGETS
from stigmer_cli.cli.drill.workload import was_done_twice
from stigmer_cli.domain.execution import EventType
from stigmer_cli.errors import ConfigError

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("accepted submitted claimed message completed", False),
        ("accepted submitted orphaned submitted claimed completed", False),
        ("accepted claimed attempt message completed", False),
        ("accepted claimed started-over claimed completed", False),
        ("accepted claimed claimed completed", True),
        ("accepted claimed completed completed", True),
        ("accepted claimed failed completed", True),
    ],
)
def test_two_outcomes_or_two_claims_count_as_twice(types: str, *, expected: bool) -> None:
    events = [
        EventBody(seq=number, at=NOON, type=EventType(name), text="") for number, name in enumerate(types.split(), 1)
    ]
    assert was_done_twice(events) is expected


def choose(*only: str, number: int | None = None, seed: int = 1, is_here: bool = False) -> list[str]:
    options = DrillOptions(only=only, number=number, seed=seed, is_here=is_here, is_agreed=True)
    return list(choose_faults(options, seed=seed))


def test_each_fault_comes_once_and_the_forgetful_one_not_in_a_stack_of_ones_own() -> None:
    assert choose() == list(FAULTS)
    assert FORGETS not in choose(is_here=True)
    assert choose(FORGETS, is_here=True) == [FORGETS]


def test_every_fault_has_a_name_on_the_command_line() -> None:
    assert [*FaultName] == list(FAULTS)


def test_a_seed_repeats_the_order() -> None:
    assert choose(number=20, seed=7) == choose(number=20, seed=7)
    assert choose(number=20, seed=7) != choose(number=20, seed=8)


def test_an_unknown_fault_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="there is no fault 'flood': kill-server, "):
        choose("flood")


@pytest.mark.parametrize(("healed_s", "lost", "twice"), [(None, 0, 0), (1.0, 1, 0), (1.0, 0, 1)])
def test_a_row_is_well_only_if_it_healed_without_loss_or_repetition(
    healed_s: float | None, lost: int, twice: int
) -> None:
    row = DrillRow(fault="kill-server", noticed_s=0.1, healed_s=healed_s, executions=9, lost=lost, twice=twice)
    assert not row.is_ok


def test_a_fault_that_this_machine_does_not_allow_is_no_failure_and_is_named() -> None:
    row = DrillRow(fault="full-disk", skipped="the kernel refuses to limit the server")
    assert row.is_ok
    assert row.to_json()["skipped"] == "the kernel refuses to limit the server"
