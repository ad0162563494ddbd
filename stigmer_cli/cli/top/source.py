"""What the screen of `stigmer top` shows, and what its keys do."""

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from stigmer_cli.api.query import Query
from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.cancel import describe_cancel
from stigmer_cli.cli.stack.logs import format_line
from stigmer_cli.cli.stack.status import StatusPage, observe_stack
from stigmer_cli.credential import read_token
from stigmer_cli.errors import ServerUnavailable, StigmerError
from stigmer_cli.settings import Settings
from stigmer_cli.stack.logs import read_lines, select_parts
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.restart import restart, restart_part
from stigmer_cli.stack.up import UpContext

EXECUTIONS_MAX = 100
LOG_TAIL = 2_000
"""Lines of each part that are searched for an execution: what was written in the last minutes."""

LOG_LINES_MAX = 200
RESTART_MAX_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The stack and its newest executions at `now`, by the server's clock.

    `problem` says why the executions could not be read, and `hint` what to type; both are empty if they were read.
    `is_cut`: there are more executions than these.
    """

    now: datetime
    page: StatusPage
    executions: Sequence[ExecutionResource] = ()
    is_cut: bool = False
    problem: str = ""
    hint: str = ""


class Source(Protocol):
    """What the screen asks for. Every method but `observe` and `find_log_lines` raises StigmerError."""

    async def observe(self, *, is_stuck_only: bool) -> Snapshot:
        """The stack and its executions now."""

    async def describe(self, execution: str) -> tuple[ExecutionResource, Sequence[EventBody], datetime]:
        """One execution, its timeline, and what time it is for the server."""

    async def find_log_lines(self, execution: str) -> Sequence[str]:
        """The last log lines that name it, oldest first."""

    async def cancel(self, execution: str) -> str:
        """Ask it to end; what came of it."""

    async def reconcile(self, execution: str, *, includes_in_progress: bool) -> str:
        """Reconcile it; what came of it."""

    async def restart(self, part: str | None) -> str:
        """Restart a part, or all; what came of it."""


class StackSource:
    """The stack of this home, or the server elsewhere that the settings name."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli

    async def observe(self, *, is_stuck_only: bool) -> Snapshot:
        """The stack and its executions now, each in bounded time; settings and token are read anew each time."""
        settings = self._cli.load_settings_or_defaults()
        token = settings.token or (None if settings.distrust else read_token(settings.home))
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(observe_stack(self._cli, settings, token), name="stack")
            listing = group.create_task(self._list(is_stuck_only=is_stuck_only), name="executions")
        items, is_cut, now, error = listing.result()
        return Snapshot(
            now=now or self._cli.clock.now(),
            page=looking.result(),
            executions=items,
            is_cut=is_cut,
            problem=error.message if error else "",
            hint=(error.hint if error else "") or "",
        )

    async def _list(
        self, *, is_stuck_only: bool
    ) -> tuple[Sequence[ExecutionResource], bool, datetime | None, StigmerError | None]:
        query = Query(is_stuck=is_stuck_only, is_judged=not is_stuck_only)
        try:
            async with self._cli.client() as client:
                found = await client.list_executions(query, limit=EXECUTIONS_MAX)
        except ServerUnavailable as error:
            return (), False, None, await asyncio.to_thread(self._cli.explain, error)
        except StigmerError as error:
            return (), False, None, error
        return found.items, found.is_truncated, client.servers_now, None

    async def describe(self, execution: str) -> tuple[ExecutionResource, Sequence[EventBody], datetime]:
        """One execution, its timeline, and what time it is for the server."""
        async with self._cli.client() as client:
            found, events = await client.execution(execution), await client.events(execution)
            return found, events, client.servers_now or self._cli.clock.now()

    async def find_log_lines(self, execution: str) -> Sequence[str]:
        """The last log lines of this machine that name it, oldest first."""
        return await asyncio.to_thread(self._search_logs, execution)

    def _search_logs(self, execution: str) -> Sequence[str]:
        lines = read_lines(self._cli.home, select_parts(()), tail=LOG_TAIL)
        today = self._cli.clock.now().astimezone().date()
        found = deque((line for line in lines if execution in line.text), maxlen=LOG_LINES_MAX)
        known = f" execution={execution}"
        return [f"{line.part:<11}{format_line(line, today).replace(known, '')}" for line in found]

    async def cancel(self, execution: str) -> str:
        """Ask it to end; what came of it, as `stigmer executions cancel` says it."""
        async with self._cli.client() as client:
            found = await client.cancel_execution(execution)
        return describe_cancel(found.status.phase)

    async def reconcile(self, execution: str, *, includes_in_progress: bool) -> str:
        """Reconcile this one; what the server found and did."""
        request = ReconcileRequest(
            ids=[execution], include_in_progress=includes_in_progress, asked_by=f"stigmer top (pid {os.getpid()})"
        )
        told = "nothing to do"
        async with self._cli.client() as client:
            async for item in client.reconcile(request):
                if isinstance(item, ReconcileItem):
                    told = f"{item.found}: {item.action}, {item.outcome}"
        return told

    async def restart(self, part: str | None) -> str:
        """Restart a part, or all, with this shell's settings; raises what `stigmer restart` raises."""
        settings: Settings = self._cli.load_own_settings()
        around = UpContext(clock=self._cli.clock, environ=self._cli.environ, tell=lambda _line: None)
        options = StackOptions(wait_timeout_s=RESTART_MAX_S)
        if part is None:
            await restart(settings, options, progress=_Silent(), around=around)
        else:
            await restart_part(settings, part, options, progress=_Silent(), around=around)
        return "ready again"


class _Silent:
    """Progress that is not told: the screen shows the parts anyway."""

    def part(self, name: str, state: str) -> None:
        """Tell nothing."""
