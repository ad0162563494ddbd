"""The two consoles of rich: made when something is printed, because rich takes as long to import as all commands.

Only a stream that is a terminal counts as one. rich also takes FORCE_COLOR for a terminal, which CI systems set for all
programs: it asks for colours, and not for 80 columns, questions and moving lines in a pipe.
"""

import shutil
import sys
from typing import TextIO, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from stigmer_cli.cli.output import strip_control_sequences

K = TypeVar("K", bound=Console)

UNBOUNDED = 1000
"""Columns of a table that is not printed on a terminal: wide enough to cut nothing off."""


class ResultConsole(Console):
    """Standard output; raises BrokenPipeError when its reader has left, where rich's own would end the process."""

    def on_broken_pipe(self) -> None:
        """Raise it again."""
        raise  # noqa: PLE0704 - rich calls this while it handles the error


class MessageConsole(Console):
    """Standard error; a message that nobody reads is lost, and the command goes on."""

    def on_broken_pipe(self) -> None:
        """Print nothing more."""
        self.quiet = True


def make_result_console() -> Console:
    """For standard output."""
    console = _make(ResultConsole, sys.stdout, is_error=False)
    if not console.is_terminal:
        console.width = UNBOUNDED
    return console


def make_message_console() -> Console:
    """For standard error."""
    return _make(MessageConsole, sys.stderr, is_error=True)


def _make(kind: type[K], stream: TextIO, *, is_error: bool) -> K:
    console = kind(stderr=is_error, highlight=False)
    if console.is_terminal and not stream.isatty():
        console = kind(
            stderr=is_error,
            highlight=False,
            force_terminal=False,
            color_system=console.color_system,  # type: ignore[arg-type] # one of the names that it takes
        )
    if not console.width:  # COLUMNS=0, as in some containers
        console.width = shutil.get_terminal_size().columns
    return console


def compose(label: str, style: str, text: str) -> Text:
    """`text` behind a coloured label, without control sequences."""
    return Text.assemble((label, style), strip_control_sequences(text))


def escape_markup(text: str) -> str:
    """`text` without control sequences, and with rich's markup escaped."""
    return escape(strip_control_sequences(text))
