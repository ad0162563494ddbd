"""The progress of a start: parts in the order of dependency, each with its seconds."""

import io

import pytest
from rich.console import Console

from stigmer_cli.cli.output import Output
from stigmer_cli.cli.stack.progress import Board, show_progress
from stigmer_cli.stack.readiness import select_changes
from stigmer_cli.stack.rollback import describe_left
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import ChildRecord, SupervisorRecord
from tests.support.fakes import ManualClock


def test_the_rows_are_in_the_order_of_dependency_with_seconds_till_ready_or_so_far() -> None:
    clock = ManualClock()
    board = Board(Output(), clock)
    for seconds, name, state in ((0.5, "runner", "starting"), (0.5, "server", "ready"), (1.0, "temporal", "ready")):
        clock.move(seconds)
        board.part(name, state)
    clock.move(1.5)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with console.capture() as shown:
        console.print(board.draw())
    rows = [line.split()[-3:] for line in shown.get().splitlines()]
    assert rows == [["temporal", "2.0s", "ready"], ["server", "1.0s", "ready"], ["runner", "3.5s", "starting"]]


def test_without_a_terminal_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    with show_progress(Output(), clock) as board:
        board.part("server", "does not listen on port 7234 yet")
        clock.move(1.25)
        board.part("server", "ready")
    assert capsys.readouterr().err == "server: does not listen on port 7234 yet\nserver: ready after 1.2s\n"


def test_changes_are_told_in_the_order_of_dependency() -> None:
    children = tuple(ChildRecord(name=name, state="running") for name in ("runner", "server", "temporal"))
    record = SupervisorRecord(id=ProcessId(pid=1, mark="m"), started_at="", children=children)
    assert list(select_changes(record, {"runner": "starting"}, {})) == ["temporal", "server", "runner"]


def test_an_up_that_joined_says_what_it_started_and_that_the_rest_runs() -> None:
    assert (
        describe_left(("server",)) == "server was started, and nothing was stopped: see what runs with stigmer status"
    )
    assert describe_left(()).startswith("nothing was started, and nothing was stopped")
