"""`stigmer doctor`: reports what is wrong and what to type, with an exit code for scripts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.doctor.options import DoctorOptions
from stigmer_cli.cli.doctor.report import print_report
from stigmer_cli.doctor.catalog import choose_checks, find_codes
from stigmer_cli.doctor.check import Check
from stigmer_cli.doctor.facts.collect import collect_facts
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.report import Diagnosis, Report, Verdict, select_reported
from stigmer_cli.doctor.run_checks import diagnose
from stigmer_cli.errors import ConfigError, TimedOut
from stigmer_cli.settings import Settings, load
from stigmer_cli.time_format import span

PROBE_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class _DiagnosisRequest:
    """Which checks run, whether warnings count as failures, and how many seconds to wait until all are healthy."""

    only: frozenset[str]
    checks: Sequence[Check]
    is_strict: bool
    waits_s: float | None


def run_doctor(cli: Cli, options: DoctorOptions) -> int:
    """Print the report and return the exit code; raises TimedOut if `waits_s` pass before all is healthy."""
    only = find_codes(options.only)
    asked = _DiagnosisRequest(
        only=only,
        checks=choose_checks(only=only, skip=find_codes(options.skip)),
        is_strict=options.is_strict,
        waits_s=options.waits_s,
    )
    if options.bundle is not None:
        from stigmer_cli.doctor.archive import check_target  # noqa: PLC0415 - for a bundle only

        check_target(options.bundle)  # before the checks, which take seconds
    seen = cli.run(_diagnose_and_repair(cli, asked, is_repaired=options.is_repaired))
    _show(cli, seen, options.bundle, is_verbose=options.is_verbose)
    if asked.waits_s is not None and not seen.report.is_ok:
        verdict = seen.report.verdict
        raise TimedOut(f"after {span(asked.waits_s)} still {verdict.message}", hint=verdict.hint)
    return seen.report.exit_code


async def find_first_failure(cli: Cli) -> Verdict | None:
    """What failed first among all checks; None if nothing did."""
    return (await diagnose_once(cli)).first_failure


async def diagnose_once(cli: Cli, *, only: frozenset[str] = frozenset()) -> Report:
    """The report of one diagnosis: of the checks `only` and those that they need, of all if it is empty."""
    checks = choose_checks(only=only, skip=frozenset())
    request = _DiagnosisRequest(only=only, checks=checks, is_strict=False, waits_s=None)
    return (await _diagnose(cli, request)).report


def _show(cli: Cli, seen: Diagnosis, bundle: Path | None, *, is_verbose: bool) -> None:
    data = seen.report.to_json()
    if bundle is not None:
        from stigmer_cli.cli.doctor.bundle import write_bundle  # noqa: PLC0415 - for a bundle only

        data["bundle"] = write_bundle(cli, seen, bundle)
    cli.out.result(data, lambda console: print_report(console, seen.report, is_verbose=is_verbose))


async def _diagnose_and_repair(cli: Cli, asked: _DiagnosisRequest, *, is_repaired: bool) -> Diagnosis:
    """The diagnosis to report: after the repairs if `is_repaired`, and after the wait if there is one."""
    if not is_repaired:
        return await _diagnose_until_healthy(cli, asked)
    from stigmer_cli.doctor.repairs.repair import repair  # noqa: PLC0415 - for `--fix` only

    repaired = await repair(lambda: _diagnose(cli, asked), tell=cli.out.note, clock=cli.clock)
    if asked.waits_s is None or repaired.report.is_ok:
        return repaired
    seen = await _diagnose_until_healthy(cli, asked)
    return replace(seen, report=replace(seen.report, fixes=repaired.report.fixes))


async def _diagnose_until_healthy(cli: Cli, asked: _DiagnosisRequest) -> Diagnosis:
    """One diagnosis; with a wait, the first healthy one or the last in time. Prints each new verdict once."""
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


async def _diagnose(cli: Cli, asked: _DiagnosisRequest) -> Diagnosis:
    began, facts = cli.clock.monotonic(), _collect_facts(cli)
    judged = await diagnose(asked.checks, facts, clock=cli.clock)
    took_s = cli.clock.monotonic() - began
    report = Report(judged=select_reported(judged, only=asked.only), is_strict=asked.is_strict, took_s=took_s)
    return Diagnosis(facts=facts, report=report)


def _collect_facts(cli: Cli) -> Facts:
    """The facts under the current settings; settings that cannot be read become a finding themselves."""
    try:
        settings = load({}, cli.environ, user_home=cli.user_home, working_directory=cli.working_directory, is_look=True)
        return collect_facts(settings, clock=cli.clock)
    except ConfigError as error:
        return collect_facts(Settings(home=cli.home), clock=cli.clock, problem=error)
