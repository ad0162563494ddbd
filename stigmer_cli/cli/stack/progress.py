"""Shows the progress of a start: part by part, and with the last lines of the log if one fails."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from stigmer_cli.cli.output import Output, strip_control_sequences, truncate_line
from stigmer_cli.clock import Clock
from stigmer_cli.stack.failure import StartFailed
from stigmer_cli.stack.readiness import READY, order_of
from stigmer_cli.time_format import span

LINE_MAX = 400
"""Characters of a log line that are shown if standard error is no terminal."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a part waits for, or that it is ready, since `at_s` seconds after the start."""

    state: str
    at_s: float


class Board:
    """Shows the progress of each part: a live table on a terminal that can draw one, else a line for each change."""

    def __init__(self, out: Output, clock: Clock) -> None:
        self._out, self._clock = out, clock
        self._began = clock.monotonic()
        self._rows: dict[str, Row] = {}
        self._spinner = Spinner("line")
        self.live: Live | None = None

    def part(self, name: str, state: str) -> None:
        """Show that `name` is ready, or what it waits for."""
        at_s = self._clock.monotonic() - self._began
        self._rows[name] = Row(state=strip_control_sequences(state), at_s=at_s)
        self._out.stream({"part": name, "state": state, "atS": round(at_s, 3)})
        if self.live is None:
            self._out.note(f"{name}: {state}{f' after {span(at_s)}' if state == READY else ''}")
        else:
            self.live.start(refresh=True)  # not earlier: an empty table leaves an empty line above an error

    def draw(self) -> Table:
        """A row for each part, those that others wait for first, with its seconds: till it was ready, or so far."""
        table = Table.grid(padding=(0, 1))
        so_far_s = self._clock.monotonic() - self._began
        for name, row in sorted(self._rows.items(), key=lambda item: order_of(item[0])):
            is_ready = row.state == READY
            mark = Text("ok", style="green") if is_ready else self._spinner
            seconds = Text(f"{row.at_s if is_ready else so_far_s:.1f}s", justify="right", style="dim")
            state = Text(row.state, style="" if is_ready else "dim", overflow="ellipsis", no_wrap=True)
            table.add_row(mark, Text(name), seconds, state)
        return table


@contextmanager
def show_progress(out: Output, clock: Clock) -> Iterator[Board]:
    """Yield a board; if a part fails, print the last lines of its log below it."""
    board = Board(out, clock)
    try:
        if out.stderr.is_terminal and not out.stderr.is_dumb_terminal:
            board.live = Live(get_renderable=board.draw, console=out.stderr, refresh_per_second=8, transient=False)
            try:
                yield board
            finally:
                board.live.stop()
        else:
            yield board
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the stack is stopped
            signal.signal(number, signal.SIG_IGN)  # another one would only spoil the exit code
        raise
    except StartFailed as error:
        out.note(f"the last lines of {error.log}:" if error.lines else f"{error.log} is empty")
        room = (out.stderr.width if out.stderr.is_terminal else LINE_MAX) - 2
        for line in error.lines:
            out.note(f"  {truncate_line(line, room)}")
        raise
