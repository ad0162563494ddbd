"""`stigmer doctor`: what is wrong first of all, what to type, and an exit code that says it to a script."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.wait import WAIT, wait_s
from stigmer_cli.errors import ConfigError, TimedOut

if TYPE_CHECKING:
    from stigmer_cli.doctor.check import Check
    from stigmer_cli.doctor.facts import Facts
    from stigmer_cli.doctor.report import Diagnosis

PROBE_EVERY_S = 1.0
OUTPUT = typer.Option("--output", "-o", help="How to print the result.")
BUNDLE = typer.Option("--bundle", metavar="FILE", help="Also write a .tar.gz or .zip for a bug report; no secrets.")


doctor = typer.Typer(help="Say what is wrong and what to type.")


@doctor.callback(invoke_without_command=True)
def diagnosis(
    ctx: typer.Context,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Do what is safe to do unasked, and look again.")] = False,
    wait: Annotated[str | None, WAIT] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CODE", help="Only this check, or category.")] = None,
    skip: Annotated[list[str] | None, typer.Option(metavar="CODE", help="All but this check, or category.")] = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
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
    asked = _Asked(only or [], skip or [], is_strict=strict, waits_s=wait_s(wait))
    _refuse(bundle)
    seen = cli.run(_seen(cli, asked, is_repaired=fix))
    _show(cli, seen, bundle, is_verbose=verbose)
    if asked.waits_s is not None and not seen.report.is_ok:
        verdict = seen.report.verdict
        raise TimedOut(f"after {asked.waits_s:g} s still {verdict.message}", hint=verdict.hint)
    raise typer.Exit(seen.report.exit_code)


@doctor.command("explain")
def explain(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="A check, as `--list-checks` names it.")],
    output: Annotated[Format, OUTPUT] = Format.TABLE,
) -> None:
    """Say what a check looks at and what it means when it fails; needs nothing that runs."""
    from stigmer_cli.cli.doctor_report import print_explanation  # noqa: PLC0415 - not for --help
    from stigmer_cli.doctor.catalog import check_called  # noqa: PLC0415

    cli = cli_of(ctx)
    check = check_called(code)
    cli.show(output).result(
        {**_check_json(check), "explanation": check.explanation}, lambda console: print_explanation(console, check)
    )


class _Asked:
    """Which checks, how strictly they are counted, and for how many seconds one waits until they are well."""

    def __init__(self, only: Sequence[str], skip: Sequence[str], *, is_strict: bool, waits_s: float | None) -> None:
        from stigmer_cli.doctor.catalog import chosen, named  # noqa: PLC0415 - not for --help

        self.only = named(only)
        self.checks = chosen(only=self.only, skip=named(skip))
        self.is_strict = is_strict
        self.waits_s = waits_s


# -- diagnosing


async def _seen(cli: Cli, asked: _Asked, *, is_repaired: bool) -> "Diagnosis":
    """What is to be told: after the repairs where they were asked for, and after the wait where one was."""
    if not is_repaired:
        return await _wait_for(cli, asked)
    from stigmer_cli.doctor.repair import repair  # noqa: PLC0415 - only with --fix

    repaired = await repair(lambda: _diagnose(cli, asked), tell=cli.out.note, clock=cli.clock)
    if asked.waits_s is None or repaired.report.is_ok:
        return repaired
    seen = await _wait_for(cli, asked)
    return replace(seen, report=replace(seen.report, fixes=repaired.report.fixes))


async def _wait_for(cli: Cli, asked: _Asked) -> "Diagnosis":
    """One look; with a wait the first healthy one, or the last before time ran out. Tells each change once."""
    ends = cli.clock.monotonic() + (asked.waits_s or 0.0)
    told = ""
    while True:
        seen = await _diagnose(cli, asked)
        left_s = ends - cli.clock.monotonic()
        if asked.waits_s is None or seen.report.is_ok or left_s <= 0:
            return seen
        if seen.report.verdict.message != told:
            told = seen.report.verdict.message
            cli.out.note(told)
        await asyncio.sleep(min(PROBE_EVERY_S, left_s))


async def _diagnose(cli: Cli, asked: _Asked) -> "Diagnosis":
    from stigmer_cli.doctor.report import Diagnosis, Report, select_reported  # noqa: PLC0415 - not for --help
    from stigmer_cli.doctor.runner import diagnose  # noqa: PLC0415

    began, facts = cli.clock.monotonic(), _facts(cli)
    judged = await diagnose(asked.checks, facts, clock=cli.clock)
    took_s = cli.clock.monotonic() - began
    report = Report(judged=select_reported(judged, only=asked.only), is_strict=asked.is_strict, took_s=took_s)
    return Diagnosis(facts=facts, report=report)


def _facts(cli: Cli) -> "Facts":
    """The facts under today's settings; where those cannot be read, that is what will be told."""
    from stigmer_cli.doctor.collect import collect_facts  # noqa: PLC0415 - not for --help
    from stigmer_cli.settings import HOME_VARIABLE, Home, Settings, load  # noqa: PLC0415

    try:
        return collect_facts(load({}, cli.environ, user_home=cli.user_home, is_look=True), clock=cli.clock)
    except ConfigError as error:
        path = Path(cli.environ.get(HOME_VARIABLE) or cli.user_home / ".stigmer").expanduser().absolute()
        return collect_facts(Settings(home=Home(path=path)), clock=cli.clock, problem=error)


# -- telling


def _show(cli: Cli, seen: "Diagnosis", bundle: Path | None, *, is_verbose: bool) -> None:
    from stigmer_cli.cli.doctor_report import print_report  # noqa: PLC0415 - not for --help

    data = seen.report.to_json()
    if bundle is not None:
        data["bundle"] = _bundled(cli, seen, bundle)
    cli.out.result(data, lambda console: print_report(console, seen.report, is_verbose=is_verbose))


def _refuse(bundle: Path | None) -> None:
    """Say at once, not after the look, that an archive cannot be written."""
    if bundle is not None:
        from stigmer_cli.doctor.archive import check_target  # noqa: PLC0415 - only with --bundle

        check_target(bundle)


def _bundled(cli: Cli, seen: "Diagnosis", bundle: Path) -> Mapping[str, object]:
    """Write the archive, telling what it will hold first."""
    from stigmer_cli.doctor.archive import write_archive  # noqa: PLC0415 - only with --bundle
    from stigmer_cli.doctor.bundle import Surroundings, gathered_entries  # noqa: PLC0415
    from stigmer_cli.doctor.text import size  # noqa: PLC0415

    around = Surroundings(environ=cli.environ, user_home=cli.user_home)
    entries = cli.run(gathered_entries(seen.facts, seen.report, around))
    cli.out.note(f"{bundle} will hold, with secrets taken out:")
    for entry in entries:
        cli.out.note(f"  {entry.name:<20} {size(len(entry.content)):>10}  {entry.about}")
    written = write_archive(bundle, entries, at=cli.clock.now())
    cli.out.note(f"wrote {bundle} ({size(written)}); look through it before you send it")
    contents = [{"name": entry.name, "bytes": len(entry.content)} for entry in entries]
    return {"file": str(bundle), "bytes": written, "contents": contents}


def _print_checks(cli: Cli) -> None:
    from stigmer_cli.cli.doctor_report import print_checks  # noqa: PLC0415 - not for --help
    from stigmer_cli.doctor.catalog import CHECKS  # noqa: PLC0415

    cli.out.result({"items": [_check_json(check) for check in CHECKS]}, lambda console: print_checks(console, CHECKS))


def _check_json(check: "Check") -> dict[str, object]:
    return {
        "code": check.code,
        "category": check.category,
        "name": check.name,
        "severity": check.severity,
        "needs": list(check.needs),
        "timeoutS": check.timeout_s,
    }
