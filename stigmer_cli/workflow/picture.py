"""A workflow as a tree of lines, for a terminal."""

from collections.abc import Iterator, Sequence

from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.flow import Transition, list_transitions
from stigmer_cli.workflow.mermaid import describe_task
from stigmer_cli.workflow.task import Task, list_tasks


def draw_tree(workflow: Workflow) -> Sequence[str]:
    """The lines: each task with its kind, beneath it the tasks in it, and behind it where the flow goes by itself."""
    return [workflow.label, *_draw_list(list_tasks(workflow.data["do"], ("do",)), "", is_parallel=False)]


def _draw_list(tasks: Sequence[Task], indent: str, *, is_parallel: bool) -> Iterator[str]:
    transitions = [] if is_parallel else list_transitions(tasks)
    for number, task in enumerate(tasks):
        is_last = number == len(tasks) - 1
        following = None if is_last else number + 1
        ways = [_Way(way, tasks, following) for way in transitions if way.source == number]
        below = indent + ("   " if is_last else "│  ")
        yield f"{indent}{'└─' if is_last else '├─'} {task.name}  {describe_task(task)}{_note_end(ways)}"
        yield from _draw_notes(task, ways, below)
        inner = list(task.list_inner())
        for place, (word, listed) in enumerate(inner):
            if len(inner) == 1:
                yield from _draw_list(listed, below, is_parallel=word == "branches")
                continue
            is_last_list = place == len(inner) - 1
            yield f"{below}{'└─' if is_last_list else '├─'} {word}:"
            yield from _draw_list(listed, below + ("   " if is_last_list else "│  "), is_parallel=False)


class _Way:
    """A way on from a task, in words."""

    def __init__(self, way: Transition, tasks: Sequence[Task], following: int | None) -> None:
        self.label = _join(way.label)
        self.is_usual = way.target == following and not way.is_end
        if way.is_end:
            self.target = "end"
        elif way.target is None:
            self.target = "the end of this list" if following is not None else "on"
        else:
            self.target = tasks[way.target].name


def _draw_notes(task: Task, ways: Sequence[_Way], indent: str) -> Iterator[str]:
    if condition := task.data.get("if"):
        yield f"{indent}   if {_join(str(condition))}"
    for way in ways:
        if way.label:
            yield f"{indent}   {way.label} → {way.target}"


def _note_end(ways: Sequence[_Way]) -> str:
    """Where the flow goes if not to the next task; the ways with a label have lines of their own."""
    plain = next((way for way in ways if not way.label), None)
    return "" if plain is None or plain.is_usual else f"  → {plain.target}"


def _join(text: str) -> str:
    return " ".join(text.split())
