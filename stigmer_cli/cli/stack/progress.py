"""Shows the progress of a start: part by part, and with the last lines of the log if one fails."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from stigmer_cli.cli.output import Output, strip_control_sequences, truncate_line
from stigmer_cli.cli.stack.ready import READY
from stigmer_cli.stack.failure import StartFailed

LINE_MAX = 400
"""Characters of a log line that are shown if standard error is no terminal."""


class Board:
    """Shows the progress of each part: a live table on a terminal, one line a change elsewhere, and in stream-json."""

    def __init__(self, out: Output, live: Live | None) -> None:
        self._out, self._live = out, live
        self._states: dict[str, str] = {}

    def part(self, name: str, state: str) -> None:
        """Show that `name` is ready, or what it waits for."""
        self._states[name] = strip_control_sequences(state)
        self._out.stream({"part": name, "state": state})
        if self._live is None:
            self._out.note(f"{name}: {state}")
        else:
            self._live.start()  # not earlier: an empty table leaves an empty line above an error
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, state in self._states.items():
            is_ready = state == READY
            mark = Text("ok", style="green") if is_ready else Spinner("line")
            table.add_row(mark, Text(name), Text(state, style="" if is_ready else "dim", overflow="ellipsis"))
        return table


@contextmanager
def show_progress(out: Output) -> Iterator[Board]:
    """Yield a board; if a part fails, print the last lines of its log below it."""
    try:
        if out.stderr.is_terminal and sys.stderr.isatty():
            live = Live(console=out.stderr, refresh_per_second=8, transient=False)
            try:
                yield Board(out, live)
            finally:
                live.stop()
        else:
            yield Board(out, None)
    except KeyboardInterrupt:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # the stack is stopped; another Ctrl-C would only spoil the exit code
        raise
    except StartFailed as error:
        out.note(f"the last lines of {error.log}:" if error.lines else f"{error.log} is empty")
        room = (out.stderr.width if out.stderr.is_terminal else LINE_MAX) - 2
        for line in error.lines:
            out.note(f"  {truncate_line(line, room)}")
        raise
