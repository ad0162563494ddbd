"""Where the flow may go from each task of a list, as the document has it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from stigmer_cli.workflow.task import Task, TaskKind

CONTINUE = "continue"
EXIT = "exit"
END = "end"


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A way on from one task of a list to another, both by their numbers from 0.

    `target` is None where the flow leaves the list, and `is_end` where the whole workflow ends. `label` says when.
    """

    source: int
    target: int | None
    is_end: bool = False
    label: str = ""


def list_transitions(tasks: Sequence[Task]) -> Sequence[Transition]:
    """Each way on, in the order of the tasks."""
    return [transition for number, task in enumerate(tasks) for transition in _list_ways_on(tasks, number, task)]


def _list_ways_on(tasks: Sequence[Task], number: int, task: Task) -> Iterator[Transition]:
    names = [task.name for task in tasks]
    following = number + 1 if number + 1 < len(tasks) else None

    def make(directive: str, label: str = "") -> Transition:
        target = following if directive == CONTINUE else None if directive in {EXIT, END} else names.index(directive)
        return Transition(source=number, target=target, is_end=directive == END, label=label)

    own = cast("str", task.data.get("then", CONTINUE))
    if task.kind is TaskKind.SWITCH:
        cases = [
            case for item in cast("Sequence[Mapping[str, Mapping[str, str]]]", task.body) for case in item.values()
        ]
        for case in cases:
            yield make(case["then"], case.get("when", "otherwise"))
        if all("when" in case for case in cases):
            yield make(own, "otherwise")
        return
    if task.kind is TaskKind.RAISE:
        return
    if task.kind is TaskKind.TRY and "then" in (catch := cast("Mapping[str, str]", task.data["catch"])):
        yield make(catch["then"], "an error was caught")
    yield make(own)
