"""What a person sees: the same report at two widths, with and without colour, against files beside this test."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from stigmer_cli.cli.doctor import print_report
from stigmer_cli.doctor.catalog import BY_CODE
from stigmer_cli.doctor.check import Judged, passed
from stigmer_cli.doctor.report import Report
from tests.unit.doctor.fixed import REPORT

GOLDEN = Path(__file__).parent / "golden"


def rendered(report: Report, *, width: int, is_verbose: bool = False, **how: bool) -> str:
    written = io.StringIO()
    console = Console(
        file=written,
        width=width,
        highlight=False,
        force_terminal=how.get("terminal", True),
        color_system="standard" if how.get("colour") else None,
        legacy_windows=False,
    )
    print_report(console, report, is_verbose=is_verbose)
    return written.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("is_verbose", [False, True])
def test_a_report_looks_as_it_did(width: int, *, colour: bool, is_verbose: bool) -> None:
    name = f"{'all' if is_verbose else 'brief'}-{width}{'-colour' if colour else ''}.txt"
    assert rendered(REPORT, width=width, colour=colour, is_verbose=is_verbose) == (GOLDEN / name).read_text()


def test_elsewhere_than_on_a_terminal_each_finding_is_one_line() -> None:
    lines = rendered(REPORT, width=80, terminal=False).splitlines()
    assert lines[0] == (
        "not healthy: port 7234 for server is held by pid 812 (python -m http.server --bind 127.0.0.1 7234) (STG103)"
    )
    assert any(line.startswith("  STG106  server process: server does not start") for line in lines)


def test_a_command_is_never_broken_and_nothing_reaches_the_terminal_as_a_command() -> None:
    text = rendered(REPORT, width=80, is_verbose=True)
    assert "  fix: stigmer down && stigmer up --auto-ports\n" in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]killed[/red]" in text


def test_lines_fit_the_terminal_but_for_commands_and_evidence() -> None:
    for line in rendered(REPORT, width=80).splitlines():
        assert len(line) <= 80 or "fix: " in line


def test_a_healthy_report_is_short() -> None:
    well = Report(judged=(Judged(check=BY_CODE["STG101"], found=passed("well")),), took_s=0.31)
    assert rendered(well, width=80) == "healthy\n\npassed: Stack 1\n1 passed; 0.3 s\n"
