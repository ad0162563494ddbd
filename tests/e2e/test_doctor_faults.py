"""`stigmer doctor` before every fault of the list: the first line names the cause, and the fix that it names works."""

from collections.abc import Iterator

import pytest

from tests.e2e.doctor_table import BEGIN, END, ROOT, cells
from tests.e2e.faults.expectation import ENDS_IN_S, judged
from tests.e2e.faults.fault import On, Row
from tests.e2e.faults.fault_list import ROWS
from tests.e2e.faults.harness import Harness, others_temporal, own_temporal, stopped

FAULTS = {
    "Y8",
    *(f"T{number}" for number in range(1, 18)),
    "Y5",
    "Y9",
    "Y12",
    "N1",
    "N2",
    "N3",
    "N4",
    "S7",
    "D1",
    "D8",
    "R4",
    "R5",
    "P1",
    "P2",
    "P7",
    "Y3",
    "Y7",
    "Y4",
    "Y10",
    "Y11",
}
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A stack with a Temporal of its own."""
    with own_temporal(tmp_path_factory.mktemp("own")) as harness:
        yield harness


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A stack with a Temporal that somebody else runs."""
    with others_temporal(tmp_path_factory.mktemp("others")) as harness:
        yield harness


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A home whose stack is down."""
    with stopped(tmp_path_factory.mktemp("cold")) as harness:
        yield harness


def tried(on: On) -> list[object]:
    """The rows for one harness, in their order."""
    return [
        pytest.param(row, id=f"{row.fault}: {row.what}", marks=SLOW if row.is_slow else ())
        for row in ROWS
        if row.on is on
    ]


@pytest.mark.parametrize("row", tried(On.OWN))
def test_a_fault_of_the_stacks_own(row: Row, own: Harness) -> None:
    judged(row, own)


@pytest.mark.parametrize("row", tried(On.OTHERS))
def test_a_fault_of_a_temporal_that_somebody_else_runs(row: Row, others: Harness) -> None:
    judged(row, others)


@pytest.mark.parametrize("row", tried(On.COLD))
def test_a_fault_that_a_stack_meets_when_it_starts(row: Row, cold: Harness) -> None:
    judged(row, cold)


def test_every_fault_of_the_list_is_tried_and_most_of_them_in_every_run() -> None:
    assert {row.fault for row in ROWS} == FAULTS
    assert sum(not row.is_slow for row in ROWS) >= 20


def test_the_table_that_is_written_down_is_what_is_tried() -> None:
    text = (ROOT / "tests" / "e2e" / "faults" / "README.md").read_text()
    assert BEGIN in text, "the file has no place for the table"
    table = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    assert [line.rpartition(" | ")[0] for line in table[2:]] == [cells(row) for row in ROWS]
    assert all(float(line.rpartition(" | ")[2].removesuffix(" s |")) < ENDS_IN_S for line in table[2:])
