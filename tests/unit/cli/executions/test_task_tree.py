"""The tasks of a workflow as a tree."""

import io
from datetime import timedelta

from rich.console import Console

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.tasks import TaskBody, TaskList
from stigmer_cli.cli.executions.task_lines import draw_tree
from stigmer_cli.cli.executions.task_tree import make_tree, print_tasks
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.task import TaskPhase
from tests.support.execution_rows import row
from tests.support.fakes import START

PATHS = (
    "/do/0/each",
    "/do/0/each/for/0/do/0/inner",
    "/do/1/both",
    "/do/1/both/fork/branches/0/left",
    "/do/1/both/fork/branches/1/right",
    "/do/1/both/fork/branches/0/left/do/0/a",
    "/do/0/each/for/1/do/0/inner",
    "/do/2/trying",
    "/do/2/trying/retry/1/try/0/boom",
    "/do/2/trying/catch/do/0/healed",
)


def task(path: str, number: int = 1, phase: TaskPhase = TaskPhase.COMPLETED, error: str | None = None) -> TaskBody:
    return TaskBody(
        number=number,
        name=path.rpartition("/")[2],
        path=path,
        phase=phase,
        attempts=1,
        started_at=START + timedelta(seconds=number),
        completed_at=None if phase is TaskPhase.RUNNING else START + timedelta(seconds=number + 1),
        error=error,
    )


def test_a_task_stands_beneath_the_one_that_it_is_in_and_says_which_pass_it_belongs_to() -> None:
    rows = make_tree([task(path, number) for number, path in enumerate(PATHS)])
    assert ["  " * row.depth + row.label for row in rows] == [
        "each",
        "  inner [0]",
        "  inner [1]",
        "both",
        "  left",
        "    a",
        "  right",
        "trying",
        "  boom [1]",
        "  healed [catch]",
    ]


def test_a_task_whose_outer_ones_are_not_shown_stands_at_the_top() -> None:
    assert [row.depth for row in make_tree([task("/do/1/both/fork/branches/0/left")])] == [0]


def test_the_table_has_phases_times_and_errors() -> None:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    tasks = [
        task("/do/0/a", 1),
        task("/do/1/b", 2, TaskPhase.FAULTED, "it broke"),
        task("/do/2/c", 3, TaskPhase.RUNNING),
    ]
    item = execution_resource(row(Phase.IN_PROGRESS), None, None, TaskList(tasks=tasks, count=1_200))
    print_tasks(console, item, START + timedelta(seconds=9))
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip(" \u2501") for line in console.file.getvalue().splitlines()]
    assert lines == [
        "tasks:",
        "  1,197 earlier tasks are not shown here",
        "  TASK  PHASE      TOOK",
        "  a     completed    1s",
        "  b     faulted      1s",
        "  c     running     6s+",
        "  /do/1/b: it broke",
    ]


def drawn(number: int, running: set[int], lines_max: int) -> list[str]:
    tasks = [
        task(f"/do/{n}/t{n}", n, TaskPhase.RUNNING if n in running else TaskPhase.COMPLETED) for n in range(number)
    ]
    lines = draw_tree(make_tree(tasks), START + timedelta(seconds=60), lines_max)
    return [line.plain.split()[-1] for line in lines]


def test_a_live_tree_is_no_higher_than_its_room_and_has_what_goes_on() -> None:
    assert drawn(3, {2}, 5) == ["t0", "t1", "t2"]
    assert drawn(9, {8}, 4) == ["tasks", "t6", "t7", "t8"]
    assert drawn(9, {4}, 4) == ["tasks", "t2", "t3", "t4"]
    assert drawn(9, set(), 4) == ["tasks", "t6", "t7", "t8"]
    assert all(len(drawn(number, {0}, 5)) <= 5 for number in range(1, 12))


def test_a_line_of_a_live_tree_has_phase_time_and_name() -> None:
    [line] = draw_tree(make_tree([task("/do/0/a", 1, TaskPhase.RUNNING)]), START + timedelta(seconds=60), 5)
    assert line.plain == "running        59s+  a"
