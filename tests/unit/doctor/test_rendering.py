"""What a person sees: fixed reports at two widths, with and without colour, against files beside this test."""

import io
import re
from collections.abc import Callable, Mapping

import pytest
from rich.console import Console

from stigmer_cli.cli.doctor.checks import print_checks, print_explanation
from stigmer_cli.cli.doctor.report import print_report
from stigmer_cli.doctor.catalog import BY_CODE
from stigmer_cli.doctor.report import Report
from tests.unit.doctor.conftest import Golden
from tests.unit.doctor.report_samples import HEALTHY, REPAIRED, REPORT, WARNED

REPORTS: Mapping[str, Report] = {
    "brief": REPORT,
    "all": REPORT,
    "repaired": REPAIRED,
    "warned": WARNED,
    "healthy": HEALTHY,
}
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-9]|4[0-9]|9[0-7])[0-9;]*m")
"""Foreground and background colours of ECMA-48 (SGR); bold and faint are none."""


def drawn(draw: Callable[[Console], None], *, width: int = 80, **how: bool) -> str:
    written = io.StringIO()
    console = Console(
        file=written,
        width=width,
        highlight=False,
        force_terminal=how.get("terminal", True),
        color_system="standard" if how.get("colour") else None,
        no_color=how.get("no_color", False),
        legacy_windows=False,
    )
    draw(console)
    return written.getvalue()


def rendered(name: str, *, width: int = 80, **how: bool) -> str:
    return drawn(lambda console: print_report(console, REPORTS[name], is_verbose=name == "all"), width=width, **how)


@pytest.mark.parametrize("name", list(REPORTS))
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("colour", [False, True])
def test_a_report_looks_as_it_did(golden: Golden, name: str, width: int, *, colour: bool) -> None:
    golden(f"{name}-{width}{'-colour' if colour else ''}.txt", rendered(name, width=width, colour=colour))


@pytest.mark.parametrize("name", list(REPORTS))
def test_colour_changes_no_word(name: str) -> None:
    coloured = rendered(name, colour=True)
    assert COLOUR.search(coloured)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == rendered(name)


@pytest.mark.parametrize("name", list(REPORTS))
def test_with_no_color_there_is_none(name: str) -> None:
    assert not COLOUR.search(rendered(name, colour=True, no_color=True))


@pytest.mark.parametrize("name", ["brief", "repaired", "warned"])
def test_elsewhere_than_on_a_terminal_each_finding_is_one_line(golden: Golden, name: str) -> None:
    golden(f"{name}-piped.txt", rendered(name, terminal=False))


def test_the_result_comes_first_and_its_command_on_the_line_below() -> None:
    lines = rendered("brief", terminal=False).splitlines()
    assert lines[0] == (
        "not healthy: port 7234 for server is held by pid 812 (python -m http.server --bind 127.0.0.1 7234) (STG103)"
    )
    assert lines[1] == "  fix: stigmer down && stigmer up --auto-ports"


@pytest.mark.parametrize("name", ["all", "repaired"])
def test_nothing_reaches_the_terminal_as_a_command(name: str) -> None:
    text = rendered(name)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]killed[/red]" in text


@pytest.mark.parametrize("name", list(REPORTS))
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_command_is_never_broken_and_everything_else_fits_the_terminal(name: str, width: int) -> None:
    text = rendered(name, width=width)
    hints = [one.found.hint for one in REPORTS[name].judged if one.found.hint]
    assert [hint for hint in hints if f"fix: {hint}\n" not in text] == []
    evidence = "lastLines: "
    assert [
        line for line in text.splitlines() if len(line) > width and "fix: " not in line and evidence not in line
    ] == []


def test_a_healthy_report_is_short() -> None:
    assert rendered("healthy").count("\n") == 4


@pytest.mark.parametrize("width", [80, 120])
def test_an_explanation_looks_as_it_did(golden: Golden, width: int) -> None:
    golden(f"explain-{width}.txt", drawn(lambda console: print_explanation(console, BY_CODE["STG205"]), width=width))


def test_repairs_are_listed_done_first_and_grouped_by_reason() -> None:
    lines = rendered("repaired", terminal=False).splitlines()
    told = lines[lines.index("repairs") + 1 :][:5]
    assert told == [
        "  done    STG101: removed the rights of others from /home/ada/.stigmer (was 0755)",
        "  failed  STG107: started runner, and it ended again: ended by itself with exit code 1",
        "  left    STG106: it cannot start while port 7234 is held by pid 812 (python -m http.server 7234)",
        "  left    STG103, STG404: no repair for it is safe without asking you",
        "",
    ]


def test_the_list_of_checks_has_a_line_for_each() -> None:
    lines = drawn(lambda console: print_checks(console, list(BY_CODE.values())), width=120).splitlines()
    assert [line.split()[0] for line in lines] == ["CODE", *BY_CODE]
