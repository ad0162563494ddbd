"""The only module that prints: results on standard output, messages on standard error, no cursor movement."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from stigmer_cli.errors import StigmerError
from stigmer_cli.secret_values import hide_url_secrets

if TYPE_CHECKING:
    from rich.console import Console

CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]"  # other escapes
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # C0 but tab and newline, DEL, C1
    r"|[\u202a-\u202e\u2066-\u2069]"  # characters that reorder their neighbours
)
"""ECMA-48 control sequences, and the bidirectional overrides of Unicode; rich strips neither."""

ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}

OUTPUT_OPTION = re.compile(r"(?<= )(?:-o[ =]?|--output[ =])(\S+)(?= )")

NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    STREAM_JSON = "stream-json"


def find_format(arguments: Sequence[str]) -> Format:
    """The format that `arguments` ask for, for an error in these very arguments; TABLE if none, or no format."""
    given = " ".join(arguments).partition(" -- ")[0]
    found = OUTPUT_OPTION.findall(f" {given} ")
    return Format(found[-1]) if found and found[-1] in {*Format} else Format.TABLE


def strip_control_sequences(text: str) -> str:
    """`text` without the characters that a terminal would interpret instead of showing."""
    return CONTROL.sub("", text).replace("\r", "")


class Output:
    """Where a command's result and messages go; decided once, from the format and the terminals.

    `outlives_reader` is set by a command that prints while it changes something: it goes on when its output cannot be
    written, and `unwritten` is the first error of a write. `has_result`: the result was printed, after which an error
    is told on standard error only, so that standard output stays what the format promises.
    """

    def __init__(self, output_format: Format = Format.TABLE) -> None:
        self.format = output_format
        self.outlives_reader = False
        self.unwritten: OSError | None = None
        self.has_result = False

    @cached_property
    def stdout(self) -> "Console":
        """The console for the result."""
        from stigmer_cli.cli.consoles import make_result_console  # noqa: PLC0415 - rich, for what prints with it only

        return make_result_console()

    @cached_property
    def stderr(self) -> "Console":
        """The console for messages."""
        from stigmer_cli.cli.consoles import make_message_console  # noqa: PLC0415

        return make_message_console()

    @property
    def is_interactive(self) -> bool:
        """Whether both streams are terminals, and can draw a line anew."""
        return self.stdout.is_terminal and self.stderr.is_terminal and not self.stdout.is_dumb_terminal

    @property
    def has_terminal(self) -> bool:
        """Whether a question would be seen at a terminal, and answered there."""
        return sys.stdin.isatty() and self.stderr.is_terminal

    def result(self, data: Mapping[str, object], table: "Callable[[Console], None]") -> None:
        """Print the result: `data` as one JSON object, or what `table` prints."""
        self.has_result = True
        match self.format:
            case Format.TABLE:
                table(self.stdout)
            case Format.JSON:
                self.raw(json.dumps(data, ensure_ascii=False, indent=2) + "\n")
            case Format.STREAM_JSON:
                self.raw(_dump_line(data))

    def stream(self, data: Mapping[str, object]) -> None:
        """Print one line of progress in stream-json; nothing in the other formats."""
        if self.format is Format.STREAM_JSON:
            self.raw(_dump_line(data))

    def stream_result(self, data: Mapping[str, object]) -> None:
        """Print the last line of stream-json; nothing in the other formats."""
        self.has_result = True
        self.stream(data)

    def raw(self, text: str) -> None:
        """Write `text` to standard output unchanged, and flush; lone surrogates are replaced.

        JSON for an output that is not UTF-8 is in ASCII, with everything else escaped.
        """
        whole = text.encode("utf-8", "replace").decode("utf-8")
        if self.format is not Format.TABLE and not _takes_unicode(sys.stdout.encoding):
            whole = NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], whole)
        try:
            sys.stdout.write(whole)
            sys.stdout.flush()
        except OSError as error:
            if not self.outlives_reader:
                raise
            self.unwritten = self.unwritten or error
            discard_stdout()

    def note(self, text: str) -> None:
        """Print a message: a line on standard error."""
        self._talk("", "", text)

    def hint(self, text: str) -> None:
        """Print what to type next: a line on standard error."""
        self._talk("hint: ", "cyan", text)

    def warning(self, text: str) -> None:
        """Print a problem that does not stop the command."""
        self._talk("warning: ", "yellow", hide_url_secrets(text))

    def error(self, error: StigmerError) -> None:
        """Print what went wrong and what to type; in JSON also as a problem (RFC 9457), unless a result was printed."""
        self._talk("error: ", "bold red", hide_url_secrets(error.message))
        if error.hint:
            self.hint(error.hint)
        if self.format is not Format.TABLE and not self.has_result:
            self._print_problem(error)

    def _print_problem(self, error: StigmerError) -> None:
        from stigmer_cli.api.problem import problem_of  # noqa: PLC0415 - imports pydantic

        body = problem_of(error).model_dump(mode="json", by_alias=True, exclude_none=True)
        self.result({"problem": body} if self.format is Format.STREAM_JSON else body, lambda _console: None)

    def _talk(self, label: str, style: str, text: str) -> None:
        """Wrap at words on a terminal; print one line elsewhere, so that a log can be searched."""
        from stigmer_cli.cli.consoles import compose  # noqa: PLC0415

        with suppress(OSError):  # a full disk, for example: the exit code still tells
            self.stderr.print(compose(label, style, text), soft_wrap=not self.stderr.is_terminal)


def discard_stdout() -> None:
    """Have all further output go nowhere, also what is buffered, so that no later flush fails."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _takes_unicode(encoding: str | None) -> bool:
    return (encoding or "utf-8").lower().replace("-", "").startswith("utf")


def _dump_line(data: Mapping[str, object]) -> str:
    """`data` as one line of JSON, also for a reader that takes U+0085, U+2028 and U+2029 for the end of a line."""
    return json.dumps(data, ensure_ascii=False).translate(ESCAPED) + "\n"


def truncate_line(text: str, room: int) -> str:
    """`text` on one line of at most `room` characters, without control sequences; a cut ends with an ellipsis."""
    line = " ".join(strip_control_sequences(text).split())
    return line if len(line) <= room else f"{line[: room - 1]}…"
