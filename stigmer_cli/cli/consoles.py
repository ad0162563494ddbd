"""The two consoles of rich: made when something is printed, because rich takes as long to import as all commands."""

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from stigmer_cli.cli.output import strip_control_sequences

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
    console = ResultConsole(highlight=False)
    if not console.is_terminal:
        console.width = UNBOUNDED
    return console


def make_message_console() -> Console:
    """For standard error."""
    return MessageConsole(stderr=True, highlight=False)


def compose(label: str, style: str, text: str) -> Text:
    """`text` behind a coloured label, without control sequences."""
    return Text.assemble((label, style), strip_control_sequences(text))


def escape_markup(text: str) -> str:
    """`text` without control sequences, and with rich's markup escaped."""
    return escape(strip_control_sequences(text))
