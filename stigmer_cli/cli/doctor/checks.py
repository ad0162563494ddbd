"""Shows the checks of doctor: their list, the explanation of one, and the schema of a report."""

import textwrap
from collections.abc import Iterator, Sequence
from importlib.resources import files

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.doctor.catalog import CHECKS, check_called
from stigmer_cli.doctor.check import Check

COLUMNS = (
    Column(name="CODE", rank=0),
    Column(name="CATEGORY", rank=3),
    Column(name="NAME", rank=1),
    Column(name="SEVERITY", rank=2),
    Column(name="NEEDS", rank=4),
)
"""The columns of the list; in a narrow terminal those of the highest ranks are left out."""


def show_schema(cli: Cli) -> None:
    """Print the JSON schema of a report."""
    cli.out.raw((files("stigmer_cli.doctor") / "schema.json").read_text(encoding="utf-8"))


def show_checks(cli: Cli) -> None:
    """Print every check, and run none."""
    cli.out.result(
        {"items": [describe_check(check) for check in CHECKS]}, lambda console: print_checks(console, CHECKS)
    )


def explain_check(cli: Cli, code: str) -> None:
    """Print what the check `code` examines; for an unknown code raises NotFound with the nearest one."""
    check = check_called(code)
    cli.out.result(
        {**describe_check(check), "explanation": check.explanation}, lambda console: print_explanation(console, check)
    )


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print all checks, one a line."""
    rows = [(check.code, check.category, check.name, check.severity, " ".join(check.needs)) for check in checks]
    print_table(console, COLUMNS, [[Text(text) for text in row] for row in rows])


def print_explanation(console: Console, check: Check) -> None:
    """Print what a check examines and what its failure means."""
    console.print(Text(f"{check.code}  {check.category}: {check.name} ({check.severity})", style="bold"))
    for line in _wrap_paragraph(console, check.explanation):
        console.print(Text(line), soft_wrap=True)
    if check.needs:
        console.print(Text(f"needs: {', '.join(check.needs)}", style="dim"))
    console.print(Text(f"check it: stigmer doctor --only {check.code} -v", style="dim"))


def describe_check(check: Check) -> dict[str, object]:
    """The JSON object of a check."""
    return {
        "code": check.code,
        "category": check.category,
        "name": check.name,
        "severity": check.severity,
        "needs": list(check.needs),
        "timeoutS": check.timeout_s,
    }


def _wrap_paragraph(console: Console, text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, console.width, break_on_hyphens=False, break_long_words=False)
