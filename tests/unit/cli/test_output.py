"""Nothing that comes from outside reaches the terminal as an order."""

import pytest

from stigmer_cli.cli.output import escape_markup, strip_control_sequences


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
