"""`stigmer doctor`: what is wrong first of all, what to type, and an exit code that says it to a script."""

import asyncio
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format, clean
from stigmer_cli.cli.wait import WAIT, wait_s
from stigmer_cli.errors import ConfigError, TimedOut

if TYPE_CHECKING:
    from stigmer_cli.doctor.check import Check, Judged
    from stigmer_cli.doctor.facts import Facts
    from stigmer_cli.doctor.report import Report

LOOK_EVERY_S = 1.0
INDENT = 10
ONE = ("warnings", 1)
STYLES = {"pass": "green", "info": "cyan", "warn": "yellow", "fail": "bold red", "skip": "dim"}
OUTPUT = typer.Option("--output", "-o", help="How to print the result.")


doctor = typer.Typer(help="Say what is wrong and what to type.")


@doctor.callback(invoke_without_command=True)
def diagnosis(
    ctx: typer.Context,
    *,
    wait: Annotated[str | None, WAIT] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CODE", help="Only this check, or category.")] = None,
    skip: Annotated[list[str] | None, typer.Option(metavar="CODE", help="All but this check, or category.")] = None,
    list_checks: Annotated[
        bool, typer.Option("--list-checks", help="Print what is checked, and check nothing.")
    ] = False,
    json_schema: Annotated[bool, typer.Option("--json-schema", help="Print the JSON schema of `-o json`.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings too.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print every check, with evidence.")] = False,
    output: Annotated[Format, OUTPUT] = Format.TABLE,
) -> None:
    """Say what is wrong, what came first, and what to type: exit code 0 healthy, 1 not."""
    if ctx.invoked_subcommand is not None:
        return
    cli = cli_of(ctx)
    cli.show(output)
    if json_schema:
        cli.out.raw((files("stigmer_cli.doctor") / "schema.json").read_text(encoding="utf-8"))
        return
    if list_checks:
        _print_checks(cli)
        return
    seconds = wait_s(wait)
    asked = _Asked(only or [], skip or [], is_strict=strict)
    report = cli.run(_diagnosed(cli, asked, seconds))
    cli.out.result(report.to_json(), lambda console: print_report(console, report, is_verbose=verbose))
    if seconds is not None and not report.is_ok:
        raise TimedOut(f"after {seconds:g} s still {report.verdict.message}", hint=report.verdict.hint)
    raise typer.Exit(report.exit_code)


@doctor.command("explain")
def explain(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="A check, as `--list-checks` names it.")],
    output: Annotated[Format, OUTPUT] = Format.TABLE,
) -> None:
    """Say what a check looks at and what it means when it fails; needs nothing that runs."""
    from stigmer_cli.doctor.catalog import check_called  # noqa: PLC0415 - not for --help

    cli = cli_of(ctx)
    check = check_called(code)
    cli.show(output).result(
        {**_check_json(check), "explanation": check.explanation}, lambda console: _print_explanation(console, check)
    )


class _Asked:
    """Which checks, and how strictly they are counted."""

    def __init__(self, only: Sequence[str], skip: Sequence[str], *, is_strict: bool) -> None:
        from stigmer_cli.doctor.catalog import chosen, named  # noqa: PLC0415 - not for --help

        self.only = named(only)
        self.checks = chosen(only=self.only, skip=named(skip))
        self.is_strict = is_strict


async def _diagnosed(cli: Cli, asked: _Asked, seconds: float | None) -> "Report":
    """The report; with `seconds` the first healthy one, or the last before time ran out. Tells each change once."""
    ends = cli.clock.monotonic() + (seconds or 0.0)
    told = ""
    while True:
        report = await _looked(cli, asked)
        left_s = ends - cli.clock.monotonic()
        if seconds is None or report.is_ok or left_s <= 0:
            return report
        if report.verdict.message != told:
            told = report.verdict.message
            cli.out.note(told)
        await asyncio.sleep(min(LOOK_EVERY_S, left_s))


async def _looked(cli: Cli, asked: _Asked) -> "Report":
    from stigmer_cli.doctor.report import Report, reported  # noqa: PLC0415 - not for --help
    from stigmer_cli.doctor.runner import diagnose  # noqa: PLC0415

    began = cli.clock.monotonic()
    judged = await diagnose(asked.checks, _facts(cli), clock=cli.clock)
    took_s = cli.clock.monotonic() - began
    return Report(judged=reported(judged, only=asked.only), is_strict=asked.is_strict, took_s=took_s)


def _facts(cli: Cli) -> "Facts":
    """The facts under today's settings; where those cannot be read, that is what will be told."""
    from stigmer_cli.doctor.gather import gathered  # noqa: PLC0415 - not for --help
    from stigmer_cli.settings import HOME_VARIABLE, Home, Settings, load  # noqa: PLC0415

    try:
        return gathered(load({}, cli.environ, user_home=cli.user_home), clock=cli.clock)
    except ConfigError as error:
        path = Path(cli.environ.get(HOME_VARIABLE) or cli.user_home / ".stigmer").expanduser().absolute()
        return gathered(Settings(home=Home(path=path)), clock=cli.clock, problem=error)


# -- how it looks


def print_report(console: Console, report: "Report", *, is_verbose: bool) -> None:
    """The verdict, then what failed, what warned, and what passed in brief; or all of it."""
    verdict = report.verdict
    style = "bold red" if "failed" in _nonzero(report) else "bold yellow" if verdict.code else "bold green"
    code = f" ({verdict.code})" if verdict.code else ""
    _print_lines(console, _wrapped(console, f"{clean(verdict.message)}{code}", indent=2), style=style)
    if verdict.hint:
        _print_fix(console, verdict.hint, indent=2)
    if is_verbose:
        _print_all(console, report)
    else:
        _print_others(console, report)
    _print_sums(console, report)


def _print_others(console: Console, report: "Report") -> None:
    """Every failure and warning but the one that the verdict told already."""
    for result, title in (("fail", "also failed"), ("warn", "warnings")):
        rest = [one for one in _ended(report, result) if one.check.code != report.verdict.code]
        if rest:
            console.print(Text(f"\n{title}", style=STYLES[result]))
        for one in rest:
            _print_one(console, one)
    console.print()
    passed = Counter(one.check.category for one in _ended(report, "pass"))
    if passed:
        _print_brief(console, "passed", ", ".join(f"{name} {number}" for name, number in passed.items()))
    blocked = Counter(one.found.because for one in _ended(report, "skip") if one.found.because)
    if blocked:
        _print_brief(console, "not judged", ", ".join(f"{number} because {code}" for code, number in blocked.items()))


def _print_all(console: Console, report: "Report") -> None:
    for category in dict.fromkeys(one.check.category for one in report.judged):
        console.print(Text(f"\n{category}", style="bold"))
        for one in report.judged:
            if one.check.category == category:
                _print_one(console, one, word=one.found.result)
                if one.found.result in ("fail", "warn"):
                    _print_evidence(console, one)
    console.print()


def _print_one(console: Console, one: "Judged", word: str = "") -> None:
    text = clean(f"{one.check.name}: {one.found.message}")
    first, *more = _wrapped(console, text, indent=INDENT + (5 if word else 0))
    shown = Text.assemble(("  ", ""), (f"{word:<5}" if word else "", STYLES.get(word, "")))
    shown.append(f"{one.check.code}  ", style=STYLES[one.found.result])
    shown.append(first.strip())
    console.print(shown, soft_wrap=True)
    _print_lines(console, more)
    if one.found.hint:
        _print_fix(console, one.found.hint, indent=INDENT + (5 if word else 0))


def _print_evidence(console: Console, one: "Judged") -> None:
    for name, value in one.found.evidence.items():
        console.print(Text(clean(f"{'':>{INDENT + 5}}{name}: {value}"), style="dim"), soft_wrap=True)


def _print_sums(console: Console, report: "Report") -> None:
    nonzero = _nonzero(report)
    sums = ", ".join(f"{number} {'warning' if (name, number) == ONE else name}" for name, number in nonzero.items())
    console.print(Text(f"{sums}; {report.took_s:.1f} s", style="dim"))
    if report.verdict.code:
        console.print(Text(f"why: stigmer doctor explain {report.verdict.code}", style="dim"))


def _print_brief(console: Console, name: str, words: str) -> None:
    _print_lines(console, _wrapped(console, f"{name}: {words}", indent=2), style="dim")


def _print_fix(console: Console, command: str, *, indent: int) -> None:
    """On one line however long: a command that is wrapped cannot be pasted."""
    console.print(Text.assemble(" " * indent, ("fix: ", "cyan"), clean(command)), soft_wrap=True)


def _print_lines(console: Console, lines: Sequence[str], *, style: str = "") -> None:
    for line in lines:
        console.print(Text(line, style=style), soft_wrap=True)


def _wrapped(console: Console, text: str, *, indent: int) -> list[str]:
    """Words in lines, all but the first indented; one line where nobody but a program reads."""
    words = " ".join(text.split())
    if not console.is_terminal:
        return [words]
    later = " " * indent
    # The first line stands behind something that is as wide as the others are indented, or at the margin.
    lines = textwrap.wrap(
        words,
        console.width,
        initial_indent=later,
        subsequent_indent=later,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [lines[0].strip(), *lines[1:]] if lines else [""]


def _ended(report: "Report", result: str) -> list["Judged"]:
    return [one for one in report.judged if one.found.result == result]


def _nonzero(report: "Report") -> Mapping[str, int]:
    summary = report.summary
    order = ("failed", "warnings", "passed", "info", "skipped")
    return {name: summary[name] for name in order if summary[name]}


# -- the list and the explanations


def _print_checks(cli: Cli) -> None:
    from stigmer_cli.doctor.catalog import CHECKS  # noqa: PLC0415 - not for --help

    def table(console: Console) -> None:
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("CODE", "CATEGORY", "NAME", "SEVERITY", "NEEDS"):
            shown.add_column(name, no_wrap=True)
        for check in CHECKS:
            shown.add_row(check.code, check.category, check.name, check.severity, " ".join(check.needs))
        console.print(shown)

    cli.out.result({"items": [_check_json(check) for check in CHECKS]}, table)


def _check_json(check: "Check") -> dict[str, object]:
    return {
        "code": check.code,
        "category": check.category,
        "name": check.name,
        "severity": check.severity,
        "needs": list(check.needs),
        "timeoutS": check.timeout_s,
    }


def _print_explanation(console: Console, check: "Check") -> None:
    console.print(Text(f"{check.code}  {check.category}: {check.name} ({check.severity})", style="bold"))
    for line in _paragraph(console, check.explanation):
        console.print(Text(line), soft_wrap=True)
    if check.needs:
        console.print(Text(f"needs: {', '.join(check.needs)}", style="dim"))
    console.print(Text(f"look: stigmer doctor --only {check.code} -v", style="dim"))


def _paragraph(console: Console, text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, console.width, break_on_hyphens=False, break_long_words=False)
