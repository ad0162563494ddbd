"""Tells what the tasks of a workflow do while somebody waits for its end: a line for each that has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from stigmer_cli.api.tasks import TaskBody
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.client import Client
from stigmer_cli.errors import StigmerError
from stigmer_cli.time_format import span

POLL_S = 0.5
GOING_ON = frozenset({"running", "waiting"})


class Note(Protocol):
    """Prints a line on standard error."""

    def note(self, text: str) -> None:
        """Print `text` on a line of its own."""


class TaskLines:
    """The tasks of one execution, and which of them have been told."""

    def __init__(self, cli: Cli, client: Client, execution: str, out: Note) -> None:
        self._cli = cli
        self._client = client
        self._execution = execution
        self._out = out
        self._told: set[int] = set()
        self._after = 0

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Tell of tasks as they end, until the block has ended, and of the last ones then."""
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
            await self._cli.clock.sleep(POLL_S)
            with suppress(StigmerError):  # whoever follows the execution tells of it
                await self.run_once()

    async def run_once(self) -> None:
        """Look once, and tell of each task that has ended since."""
        after: int | None = self._after
        is_settled = True
        while after is not None:
            page = await self._client.tasks(self._execution, after=after)
            for one in page.items:
                is_settled = is_settled and one.phase not in GOING_ON
                if is_settled:
                    self._after = one.number
                self._tell(one)
            after = page.next_after

    def _tell(self, one: TaskBody) -> None:
        if one.phase in GOING_ON or one.number in self._told:
            return
        self._told.add(one.number)
        took = span(max(0.0, (one.completed_at - one.started_at).total_seconds())) if one.completed_at else ""
        why = f": {one.error}" if one.error else ""
        self._cli.out.stream({"task": one.to_wire()})
        self._out.note(strip_control_sequences(f"{one.phase:9}  {took:>8}  {one.path}{why}"))
