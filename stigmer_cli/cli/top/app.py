"""The screen of `stigmer top`: the stack above, the executions in the middle, the selected one below."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from rich.terminal_theme import TerminalTheme
from rich.text import Text
from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Static

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.top.draw import COLUMNS, draw_row, draw_selected, draw_stack
from stigmer_cli.cli.top.screens import Choose, Confirm, Details, draw_details
from stigmer_cli.cli.top.source import Snapshot, Source
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import StigmerError
from stigmer_cli.stack.parts import NAMES, SUPERVISOR
from stigmer_cli.waits import wait_at_most

PARTS = tuple(name for name in NAMES if name != SUPERVISOR)
ALL_PARTS = "all"
MARGIN = 6
"""Columns that the page about an execution leaves to its border and its scroll bar."""

LIGHT = (224, 224, 224)
WITHOUT_COLOURS = TerminalTheme((0, 0, 0), LIGHT, [LIGHT] * 8, [LIGHT] * 8)
"""For NO_COLOR, of which textual makes greys: that of red is too dark to be read."""

ERROR_S = 10.0
"""How long an error stays on the screen: long enough to read it and what it says to type."""


class TopApp(App[None]):
    """Shows what `source` observes, every `interval_s` seconds, and carries out what the keys ask for."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "stigmer top"
    CSS = """
    #stack { height: auto; padding: 0 1; }
    #executions { height: 1fr; }
    #pane { height: 30%; min-height: 5; border-top: solid $primary; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "get", "Get"),
        Binding("c", "cancel", "Cancel"),
        Binding("r", "reconcile", "Reconcile"),
        Binding("R", "restart", "Restart", key_display="R"),
        Binding("s", "toggle_stuck", "Stuck/all"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False),
    ]

    def __init__(self, source: Source, *, interval_s: float, is_stuck_only: bool = False) -> None:
        super().__init__()
        self._source = source
        self._interval_s = interval_s
        self._is_stuck_only = is_stuck_only
        self._snapshot: Snapshot | None = None
        self._refresh_asked = asyncio.Event()
        self._log_lines: tuple[str, Sequence[str]] = ("", ())
        self._stack = Static("looking at the stack ...", id="stack")
        self._table: DataTable[Text] = DataTable(id="executions", cursor_type="row")
        self._pane = Static(id="selected")

    def compose(self) -> ComposeResult:
        """The three areas, and the keys."""
        yield self._stack
        yield self._table
        with VerticalScroll(id="pane", can_focus=False):
            yield self._pane
        yield Footer()

    def on_mount(self) -> None:
        """Begin to observe."""
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))  # the terminal was cleared
        if self.no_color:
            self.ansi_theme_dark = WITHOUT_COLOURS
        for column in COLUMNS:
            self._table.add_column(column, key=column)
        self._table.focus()
        self._observe()

    @property
    def selected(self) -> ExecutionResource | None:
        """The execution under the cursor."""
        items = self._snapshot.executions if self._snapshot else ()
        row = self._table.cursor_row
        return items[row] if 0 <= row < len(items) else None

    # -- what is shown

    @work(name="observe")
    async def _observe(self) -> None:
        """Observe until the screen is left; a slow answer delays the next question, and queues none up."""
        while True:
            self._refresh_asked.clear()
            self._show(await self._source.observe(is_stuck_only=self._is_stuck_only))
            await self._read_log()
            await wait_at_most(self._interval_s, self._refresh_asked.wait())

    def _show(self, snapshot: Snapshot) -> None:
        """Draw `snapshot`; the cursor stays on its execution while that is listed."""
        kept, row = self.selected, self._table.cursor_row
        self._snapshot = snapshot
        self._stack.update(draw_stack(snapshot, is_stuck_only=self._is_stuck_only))
        ids = [item.metadata.id for item in snapshot.executions]
        with self.batch_update():
            self._table.clear()
            for item in snapshot.executions:
                self._table.add_row(*draw_row(item, snapshot.now), key=item.metadata.id)
            if kept is not None and kept.metadata.id in ids:
                row = ids.index(kept.metadata.id)
            self._table.move_cursor(row=min(row, max(len(ids) - 1, 0)))
        self._show_selected()

    @on(DataTable.RowHighlighted)
    def _show_selected(self) -> None:
        found = self.selected
        name, lines = self._log_lines
        is_its_own = found is not None and name == found.metadata.id
        if found is not None and not is_its_own:
            self._refresh_asked.set()  # so that its log lines do not wait for the next round
        self._pane.update(draw_selected(found, lines if is_its_own else None))

    async def _read_log(self) -> None:
        """Read what the logs say about the selected execution, and show it."""
        found = self.selected
        if found is None:
            return
        lines = await self._source.find_log_lines(found.metadata.id)
        self._log_lines = (found.metadata.id, lines)
        if self.selected is not None and self.selected.metadata.id == found.metadata.id:
            self._pane.update(draw_selected(self.selected, lines))

    # -- what the keys do

    def action_toggle_stuck(self) -> None:
        """Show the stuck executions only, or all again."""
        self._is_stuck_only = not self._is_stuck_only
        self._refresh_asked.set()

    @on(DataTable.RowSelected)
    def action_get(self) -> None:
        """Show the page about the selected execution."""
        if found := self.selected:
            self._show_details(found.metadata.id)

    @work(name="details")
    async def _show_details(self, execution: str) -> None:
        try:
            found, events, now = await self._source.describe(execution)
        except StigmerError as error:
            self._tell_error(error)
            return
        await self.push_screen(Details(draw_details(found, events, now, width=self.size.width - MARGIN)))

    def action_cancel(self) -> None:
        """Ask, and cancel the selected execution."""
        if found := self.selected:
            name = found.metadata.id
            self._act(f"Cancel {name}?", lambda: self._source.cancel(name), name)

    def action_reconcile(self) -> None:
        """Ask, and reconcile the selected execution; one in progress repeats a step only after a warning."""
        if found := self.selected:
            name = found.metadata.id
            is_begun = found.status.phase is Phase.IN_PROGRESS
            question = f"Reconcile {name}?"
            if is_begun:
                question += " It is in progress. If it is lost, a step that may have had its effect is repeated."
            self._act(question, lambda: self._source.reconcile(name, includes_in_progress=is_begun), name)

    @work(name="restart")
    async def action_restart(self) -> None:
        """Ask which part, and restart it."""
        chosen = await self.push_screen_wait(Choose("Restart which part?", (*PARTS, ALL_PARTS)))
        if chosen is not None:
            self.notify(f"{chosen} restarts", markup=False)
            part = None if chosen == ALL_PARTS else chosen
            await self._carry_out(lambda: self._source.restart(part), chosen)

    @work(name="act")
    async def _act(self, question: str, action: Callable[[], Awaitable[str]], name: str) -> None:
        if await self.push_screen_wait(Confirm(question)):
            await self._carry_out(action, name)

    async def _carry_out(self, action: Callable[[], Awaitable[str]], name: str) -> None:
        try:
            told = await action()
        except StigmerError as error:
            self._tell_error(error)
        else:
            self.notify(strip_control_sequences(f"{name}: {told}"), markup=False)
        self._refresh_asked.set()

    def _tell_error(self, error: StigmerError) -> None:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        self.notify(strip_control_sequences(f"{error.message}{hint}"), severity="error", timeout=ERROR_S, markup=False)
