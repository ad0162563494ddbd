"""Tells what the tasks of a workflow do while somebody waits: a tree on a terminal, else a line for each that ended."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from datetime import datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stigmer_cli.api.tasks import TaskBody
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.task_tree import TreeRow, make_tree, measure, style_of
from stigmer_cli.cli.output import Format, strip_control_sequences
from stigmer_cli.client import Client
from stigmer_cli.errors import StigmerError
from stigmer_cli.time_format import span

POLL_S = 0.5
GOING_ON = frozenset({"running", "waiting"})
LINES_LEFT = 4
"""Lines of the terminal that the tree leaves free."""

NAME_MAX = 48


class Note(Protocol):
    """Prints a line on standard error."""

    def note(self, text: str) -> None:
        """Print `text` on a line of its own."""


class TaskView(Protocol):
    """Shows tasks as they are now."""

    def opened(self) -> AbstractContextManager[object]:
        """What the view is shown in."""
        ...

    def show(self, tasks: Collection[TaskBody]) -> None:
        """Show all tasks that are known, in the order in which they began."""
        ...


class TaskLines:
    """A plain line for each task that has ended, once."""

    def __init__(self, cli: Cli, out: Note) -> None:
        self._cli = cli
        self._out = out
        self._told: set[int] = set()

    def opened(self) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()

    def show(self, tasks: Collection[TaskBody]) -> None:
        """Print those that have ended since."""
        for one in tasks:
            if one.phase not in GOING_ON and one.number not in self._told:
                self._told.add(one.number)
                self._tell(one)

    def _tell(self, one: TaskBody) -> None:
        took = span(max(0.0, (one.completed_at - one.started_at).total_seconds())) if one.completed_at else ""
        why = f": {one.error}" if one.error else ""
        self._cli.out.stream({"task": one.to_wire()})
        if self._cli.out.format is Format.TABLE:
            self._out.note(strip_control_sequences(f"{one.phase:9}  {took:>8}  {one.path}{why}"))


class LiveTree:
    """A tree of the tasks that is drawn again and again, no higher than the terminal."""

    def __init__(self, cli: Cli, console: Console) -> None:
        self._cli = cli
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False, redirect_stdout=False)

    def opened(self) -> AbstractContextManager[object]:
        """The part of the terminal that it is drawn in."""
        return self._live

    def show(self, tasks: Collection[TaskBody]) -> None:
        """Draw the tree as it is now."""
        lines = draw_tree(make_tree(list(tasks)), self._cli.now(), max(3, self._console.height - LINES_LEFT))
        self._live.update(Group(*lines), refresh=True)


def draw_tree(rows: Sequence[TreeRow], now: datetime, lines_max: int) -> Sequence[Text]:
    """A line for each row: phase, time, and name; of more than `lines_max`, those around what goes on."""
    last = max((number for number, row in enumerate(rows) if row.task.phase in GOING_ON), default=len(rows) - 1)
    if len(rows) <= lines_max:
        return [_draw(row, now) for row in rows]
    end = min(len(rows), max(lines_max - 1, last + 1))
    begin = end - (lines_max - 1)
    left = len(rows) - (end - begin)
    return [Text(f"{left:,} more tasks", style="dim"), *(_draw(row, now) for row in rows[begin:end])]


def _draw(row: TreeRow, now: datetime) -> Text:
    name = ("  " * row.depth + row.label)[:NAME_MAX]
    is_on = row.task.phase in GOING_ON
    line = Text.assemble(
        (f"{row.task.phase:9}", style_of(row.task)),
        f"  {measure(row.task, now):>8}  ",
        (name, "bold" if is_on else ""),
    )
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


class TaskFollower:
    """Asks for the tasks of one execution, and hands them to a view."""

    def __init__(self, cli: Cli, client: Client, execution: str, view: TaskView) -> None:
        self._cli = cli
        self._client = client
        self._execution = execution
        self._view = view
        self._tasks: dict[int, TaskBody] = {}
        self._settled = 0
        """Up to this number all have ended."""

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Show tasks until the block has ended, and the last ones then."""
        with self._view.opened():
            task = asyncio.get_running_loop().create_task(self._run(), name="tasks")
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait({task})
            with suppress(StigmerError):
                await self.run_once()

    async def _run(self) -> None:
        while True:
            with suppress(StigmerError):  # whoever follows the execution tells of it
                await self.run_once()
            await self._cli.clock.sleep(POLL_S)

    async def run_once(self) -> None:
        """Ask for those that may have changed, and show all."""
        after: int | None = self._settled
        while after is not None:
            page = await self._client.tasks(self._execution, after=after)
            self._tasks.update({one.number: one for one in page.items})
            after = page.next_after
        while (following := self._tasks.get(self._settled + 1)) and following.phase not in GOING_ON:
            self._settled += 1
        self._view.show(self._tasks.values())


def make_view(cli: Cli, out: Note) -> TaskView:
    """A tree where standard error is a terminal that can draw one."""
    console = cli.out.stderr
    if cli.out.format is Format.TABLE and console.is_terminal and not console.is_dumb_terminal:
        return LiveTree(cli, console)
    return TaskLines(cli, out)
