"""A task of a document: its kind, its place, and the tasks in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from stigmer_cli.workflow.json_value import Json, Path, write_pointer


class TaskKind(StrEnum):
    """The twelve tasks of the DSL; each is named by the key that a task of that kind has."""

    CALL = "call"
    DO = "do"
    EMIT = "emit"
    FOR = "for"
    FORK = "fork"
    LISTEN = "listen"
    RAISE = "raise"
    RUN = "run"
    SET = "set"
    SWITCH = "switch"
    TRY = "try"
    WAIT = "wait"


ORDER = (TaskKind.FOR, *(kind for kind in TaskKind if kind is not TaskKind.FOR))
"""`for` first: a task `for` has a key `do` as well."""

EXTENDED_KINDS: Mapping[TaskKind, str] = {TaskKind.DO: "composite", TaskKind.FORK: "composite"}
"""What an extension calls a kind, where that is another word."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task under its name. `path` is its place in the document: the list that it is in, its number and its name."""

    name: str
    data: Mapping[str, Json]
    path: Path

    @property
    def kind(self) -> TaskKind:
        """Which of the twelve it is."""
        return next(kind for kind in ORDER if kind in self.data)

    @property
    def pointer(self) -> str:
        """The JSON Pointer to it: `/do/0/greet`."""
        return write_pointer(self.path)

    @property
    def body(self) -> Json:
        """The value under the key that names its kind."""
        return self.data[self.kind]

    def list_inner(self) -> Iterator[tuple[str, Sequence["Task"]]]:
        """The lists of tasks in it, each under a word that says what it is there for: `do`, `try`, `catch`, ..."""
        match self.kind:
            case TaskKind.DO | TaskKind.FOR:
                yield "do", list_tasks(self.data["do"], (*self.path, "do"))
            case TaskKind.TRY:
                yield "try", list_tasks(self.data["try"], (*self.path, "try"))
                catch = cast("Mapping[str, Json]", self.data["catch"])
                if "do" in catch:
                    yield "catch", list_tasks(catch["do"], (*self.path, "catch", "do"))
            case TaskKind.FORK:
                fork = cast("Mapping[str, Json]", self.data["fork"])
                yield "branches", list_tasks(fork["branches"], (*self.path, "fork", "branches"))
            case TaskKind.LISTEN:
                each = self.data.get("foreach")
                if isinstance(each, dict) and "do" in each:
                    yield "foreach", list_tasks(each["do"], (*self.path, "foreach", "do"))
            case _:
                return


def list_tasks(listed: Json, path: Path) -> Sequence[Task]:
    """The tasks of a list of the document at `path`, in its order."""
    items = cast("Sequence[Mapping[str, Mapping[str, Json]]]", listed)
    return [
        Task(name=name, data=data, path=(*path, str(number), name))
        for number, item in enumerate(items)
        for name, data in item.items()
    ]


def walk_tasks(tasks: Sequence[Task]) -> Iterator[Task]:
    """`tasks`, and all in them, each before what is in it."""
    for task in tasks:
        yield task
        for _, inner in task.list_inner():
            yield from walk_tasks(inner)
