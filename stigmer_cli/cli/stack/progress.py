"""How a start is told while it goes on: part by part, and with the last lines of the log where one fails."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from stigmer_cli.cli.output import Output, clean, fit
from stigmer_cli.cli.stack.ready import READY
from stigmer_cli.stack.failure import StartFailed

LINE_MAX = 400
"""Characters of one line of a log that are shown where there is no terminal to fit it into."""


class Board:
    """Tells the progress of each part: a live table on a terminal, one line a change elsewhere."""

    def __init__(self, out: Output, live: Live | None) -> None:
        self._out, self._live = out, live
        self._states: dict[str, str] = {}

    def part(self, name: str, state: str) -> None:
        """`name` is ready, or waits for what `state` says."""
        self._states[name] = clean(state)
        if self._live is None:
            self._out.note(f"{name}: {state}")
        else:
            self._live.start()  # not before: a page without a row leaves an empty line above an error
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, state in self._states.items():
            is_ready = state == READY
            mark = Text("ok", style="green") if is_ready else Spinner("line")
            table.add_row(mark, Text(name), Text(state, style="" if is_ready else "dim", overflow="ellipsis"))
        return table


@contextmanager
def shown_progress(out: Output) -> Iterator[Board]:
    """A board; what went wrong with a part is told below it, with the last lines of its log."""
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
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is stopped; whoever presses on would only spoil the exit
        raise
    except StartFailed as error:
        out.note(f"the last lines of {error.log}:" if error.lines else f"{error.log} is empty")
        room = (out.stderr.width if out.stderr.is_terminal else LINE_MAX) - 2
        for line in error.lines:
            out.note(f"  {fit(line, room)}")
        raise
