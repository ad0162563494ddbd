"""Nothing that comes from outside reaches the terminal as an order."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import pytest
from rich.text import Text

from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.output import Format, Output, discard_stdout, find_format, strip_control_sequences


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;Y2xpcA==\x1b\\x", "x"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("\x1b[2J\x1b[Hx", "x"),
        ("a\rb", "ab"),
        ("\x9b31mx", "31mx"),
        ("\x07\x08\x00x\x7f", "x"),
        ("abc\u202etxt.exe", "abctxt.exe"),
        ("\x1b", ""),
        ("\x1b]0;never closed", "0;never closed"),
    ],
)
def test_control_sequences_are_stripped(text: str, shown: str) -> None:
    assert strip_control_sequences(text) == shown


def test_markup_is_inert() -> None:
    assert escape_markup("[red]x[/red]") == r"\[red]x\[/red]"


@contextmanager
def unread_stdout() -> Iterator[None]:
    """Standard output is a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        yield
        discard_stdout()  # what is buffered would fail again when the stream is closed


def test_a_command_that_changes_something_outlives_its_reader() -> None:
    with unread_stdout():
        out = Output(Format.STREAM_JSON)
        out.outlives_reader = True
        for number in range(3):
            out.stream({"item": number})
    assert isinstance(out.unwritten, BrokenPipeError)


def test_any_other_command_ends_with_its_reader() -> None:
    with unread_stdout(), pytest.raises(BrokenPipeError):
        Output(Format.STREAM_JSON).stream({"item": 1})


def test_a_line_of_json_is_one_line_for_every_reader(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\x85b\u2028c\u2029d\ne"
    Output(Format.STREAM_JSON).stream({"text": text})
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"text": text}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), Format.TABLE),
        (("list", "-o", "json"), Format.JSON),
        (("list", "-ojson"), Format.JSON),
        (("list", "--output=stream-json", "x"), Format.STREAM_JSON),
        (("list", "--output", "json", "-o", "table"), Format.TABLE),
        (("list", "-o", "yaml"), Format.TABLE),
        (("run", "a", "--", "-o", "json"), Format.TABLE),
    ],
)
def test_the_format_of_an_error_in_the_arguments(arguments: tuple[str, ...], found: Format) -> None:
    assert find_format(arguments) is found


def test_forced_colours_make_no_terminal_of_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI systems set FORCE_COLOR for all programs: a table is not cut for that, and nobody is asked."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    out = Output()
    assert [out.stdout.is_terminal, out.stderr.is_terminal, out.is_interactive] == [False] * 3
    out.stdout.print(Text("x" * 200, style="red"))
    assert capsys.readouterr().out == f"\x1b[31m{'x' * 200}\x1b[0m\n"


def test_a_width_of_nothing_is_none_that_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS=0, as in a container whose terminal has no size yet."""
    monkeypatch.setenv("COLUMNS", "0")
    assert Output().stderr.width > 0
