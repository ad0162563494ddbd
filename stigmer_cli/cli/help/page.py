"""A page of the manual on a terminal: Markdown rendered to text, and shown in a pager if it is long."""

import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.text import Text
from rich.theme import Theme

from stigmer_cli.cli.automation import find_ci_variable

WIDTH_MAX = 100
"""Columns; longer lines of prose are hard to read."""

INDENT = "  "
LESS_OPTIONS = "FRX"
"""Makes `less` show colours and leave the page on the screen; a user's own $LESS overrides it."""

NO_PAGERS = frozenset({"", "cat"})
STYLES = Theme({"markdown.code": "cyan", "markdown.table.header": "bold", "markdown.table.border": "dim"})
"""No backgrounds: no background suits both dark and bright terminals."""


class LeftHeading(Heading):
    """A heading at the left margin, as in a manual page; rich centres the first."""

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        """The heading in bold, the first one underlined too."""
        yield Text(self.text.plain, style="bold underline" if self.tag == "h1" else "bold")


class Verbatim(CodeBlock):
    """A block of code, indented: no line is wrapped, so that each can be copied."""

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        """The lines, without syntax colours."""
        lines = self.text.plain.rstrip().splitlines()
        yield Text("\n".join(f"{INDENT}{line}" for line in lines), no_wrap=True, overflow="ignore")


class HelpPage(Markdown):
    """A page of the manual as rich renders it."""

    elements: ClassVar = {**Markdown.elements, "heading_open": LeftHeading, "fence": Verbatim}


def render_markdown(console: Console, markdown: str) -> str:
    """`markdown` as text for this terminal, with its colours."""
    width = min(console.width, WIDTH_MAX)
    with console.use_theme(STYLES), console.capture() as captured:
        console.print(HelpPage(markdown, hyperlinks=False), width=width, crop=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def find_pager(environ: Mapping[str, str]) -> Sequence[str]:
    """The pager's command: $PAGER, else less; empty without one, on a dumb terminal, and in CI."""
    command = environ.get("PAGER", "less")
    if command.strip() in NO_PAGERS or environ.get("TERM") == "dumb" or find_ci_variable(environ):
        return ()
    try:
        words = shlex.split(command)
    except ValueError:  # an open quote
        return ()
    return words if shutil.which(words[0]) else ()


def show_in_pager(pager: Sequence[str], text: str, environ: Mapping[str, str]) -> bool:
    """Show `text` in the pager until the reader leaves it; False if it cannot be started.

    Ctrl-C is for the pager: who ended it by that would leave the terminal as the pager has set it, without an echo.
    """
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)  # ignored, it would be so for the pager, too
    try:
        subprocess.run(pager, input=text.encode(), env={"LESS": LESS_OPTIONS, **environ}, check=False)
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
    return True
