"""Tables behind a pipe, which a terminal may show all the same."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.columns import Column, print_table

COLUMNS = (Column(name="ID", rank=0), Column(name="WHY", rank=1))
ROWS = [[Text("1", style="red"), Text("short")], [Text("2"), Text("a much longer reason")], [Text("3"), Text("")]]


@pytest.mark.parametrize(("color_system", "first"), [(None, "1   short"), ("standard", "\x1b[31m1 \x1b[0m  short")])
def test_no_line_ends_with_spaces_that_a_narrow_terminal_would_show_as_a_line(
    color_system: str | None, first: str
) -> None:
    console = Console(file=io.StringIO(), width=1000, force_terminal=False, color_system=color_system)  # type: ignore[arg-type]
    print_table(console, COLUMNS, ROWS)
    head, *lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert (head.endswith("WHY"), lines) == (color_system is None, [first, "2   a much longer reason", "3"])
