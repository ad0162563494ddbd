"""The only module that prints: results on standard output, messages on standard error, no cursor movement."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from stigmer_cli.errors import StigmerError

CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]"  # other escapes
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # C0 but tab and newline, DEL, C1
    r"|[\u202a-\u202e\u2066-\u2069]"  # characters that reorder their neighbours
)
"""ECMA-48 control sequences, and the bidirectional overrides of Unicode; rich strips neither."""


UNBOUNDED = 1000
"""Columns of a table that is not printed on a terminal: wide enough to cut nothing off."""


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    STREAM_JSON = "stream-json"


def strip_control_sequences(text: str) -> str:
    """`text` without the characters that a terminal would interpret instead of showing."""
    return CONTROL.sub("", text).replace("\r", "")


class Output:
    """Where a command's result and messages go; decided once, from the format and the terminals."""

    def __init__(self, output_format: Format = Format.TABLE) -> None:
        self.format = output_format
        self.stdout = Console(highlight=False)
        if not self.stdout.is_terminal:
            self.stdout.width = UNBOUNDED
        self.stderr = Console(stderr=True, highlight=False)

    @property
    def is_interactive(self) -> bool:
        """Whether both streams are terminals."""
        return self.stdout.is_terminal and self.stderr.is_terminal

    @property
    def can_ask(self) -> bool:
        """Whether a person can see a question and answer it."""
        return sys.stdin.isatty() and self.stderr.is_terminal

    def result(self, data: Mapping[str, object], table: Callable[[Console], None]) -> None:
        """Print the result: `data` as one JSON object, or what `table` prints."""
        match self.format:
            case Format.TABLE:
                table(self.stdout)
            case Format.JSON:
                self.raw(json.dumps(data, ensure_ascii=False, indent=2) + "\n")
            case Format.STREAM_JSON:
                self.raw(json.dumps(data, ensure_ascii=False) + "\n")

    def stream(self, data: Mapping[str, object]) -> None:
        """Print one line of progress in stream-json; nothing in the other formats."""
        if self.format is Format.STREAM_JSON:
            self.raw(json.dumps(data, ensure_ascii=False) + "\n")

    def raw(self, text: str) -> None:
        """Write `text` to standard output unchanged, and flush; lone surrogates are replaced."""
        sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8"))
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print a message: a line on standard error."""
        self._talk(Text(strip_control_sequences(text)))

    def hint(self, text: str) -> None:
        """Print what to type next: a line on standard error."""
        self._talk(Text.assemble(("hint: ", "cyan"), strip_control_sequences(text)))

    def warning(self, text: str) -> None:
        """Print a problem that does not stop the command."""
        self._talk(Text.assemble(("warning: ", "yellow"), strip_control_sequences(text)))

    def error(self, error: StigmerError) -> None:
        """Print what went wrong and what to type."""
        self._talk(Text.assemble(("error: ", "bold red"), strip_control_sequences(error.message)))
        if error.hint:
            self.hint(error.hint)

    def _talk(self, text: Text) -> None:
        """Wrap at words on a terminal; print one line elsewhere, so that a log can be searched."""
        self.stderr.print(text, soft_wrap=not self.stderr.is_terminal)


def truncate_line(text: str, room: int) -> str:
    """`text` on one line of at most `room` characters, without control sequences; a cut ends with an ellipsis."""
    line = " ".join(strip_control_sequences(text).split())
    return line if len(line) <= room else f"{line[: room - 1]}…"


def escape_markup(text: str) -> str:
    """`text` without control sequences, and with rich's markup escaped."""
    return escape(strip_control_sequences(text))
