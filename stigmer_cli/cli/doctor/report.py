"""Prints a report of `stigmer doctor`: the verdict first, then what is wrong, and what passed in brief."""

import json
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.doctor.check import Judged
from stigmer_cli.doctor.repairs.fix import FixResult
from stigmer_cli.doctor.report import Report, Verdict
from stigmer_cli.time_format import span

INDENT = 10
ONE = ("warnings", 1)
STYLES = {"pass": "green", "info": "cyan", "warn": "yellow", "fail": "bold red", "skip": "dim"}
FIX_STYLES = {"done": "green", "failed": "bold red", "left": "dim"}


def print_report(console: Console, report: Report, *, is_verbose: bool) -> None:
    """Print the verdict, then failures, warnings, and what passed in brief; `is_verbose`: every check."""
    verdict = report.verdict
    style = "bold red" if "failed" in _count_nonzero(report) else "bold yellow" if verdict.hint else "bold green"
    print_verdict(console, verdict, style=style)
    if report.fixes:
        _print_fixes(console, report.fixes)
    if is_verbose:
        _print_all(console, report)
    else:
        _print_others(console, report)
    _print_sums(console, report)


def print_verdict(console: Console, verdict: Verdict, *, style: str, cause: Verdict | None = None) -> None:
    """Print the line that comes first, its cause if that is another one, and the way out."""
    code = f" ({verdict.code})" if verdict.code else ""
    _print_lines(
        console, _wrap_words(console, f"{strip_control_sequences(verdict.message)}{code}", indent=2), style=style
    )
    if cause:
        words = strip_control_sequences(f"cause: {cause.message} ({cause.code})")
        first, *more = _wrap_words(console, words, indent=4)
        _print_lines(console, [f"  {first}", *more])
    if verdict.hint:
        _print_fix(console, verdict.hint, indent=2)


def _print_fixes(console: Console, fixes: Sequence[FixResult]) -> None:
    """Print what was repaired, what failed, and what was left alone and why; equal reasons share a line."""
    console.print(Text("\nrepairs", style="bold"))
    told: dict[tuple[str, str], list[str]] = {}
    for one in sorted(fixes, key=lambda one: list(FIX_STYLES).index(one.outcome)):
        told.setdefault((one.outcome, one.message), []).append(one.code)
    for (outcome, message), codes in told.items():
        first, *more = _wrap_words(console, strip_control_sequences(f"{', '.join(codes)}: {message}"), indent=INDENT)
        shown = Text.assemble("  ", (f"{outcome:<8}", FIX_STYLES[outcome]), first.strip())
        console.print(shown, soft_wrap=True)
        _print_lines(console, more)


def _print_others(console: Console, report: Report) -> None:
    """Print every failure and warning except the one in the verdict."""
    is_first = "failed" in _count_nonzero(report)
    for result, title in (("fail", "also failed"), ("warn", "warnings" if is_first else "more warnings")):
        rest = [one for one in _select_result(report, result) if one.check.code != report.verdict.code]
        if rest:
            console.print(Text(f"\n{title}", style=STYLES[result]))
        for one in rest:
            _print_one(console, one)
    console.print()
    passed = Counter(one.check.category for one in _select_result(report, "pass"))
    if passed:
        _print_brief(console, "passed", ", ".join(f"{name} {number}" for name, number in passed.items()))
    late = [one.check.code for one in report.unjudged if one.found.unjudged]
    if late:
        whys = dict.fromkeys(one.found.unjudged for one in report.unjudged if one.found.unjudged)
        _print_brief(console, "not judged", f"{', '.join(late)}: {', '.join(whys)}")
    blocked = Counter(one.found.because for one in _select_result(report, "skip") if one.found.because)
    if blocked:
        _print_brief(console, "not judged", ", ".join(f"{number} because {code}" for code, number in blocked.items()))


def _print_all(console: Console, report: Report) -> None:
    for category in dict.fromkeys(one.check.category for one in report.judged):
        console.print(Text(f"\n{category}", style="bold"))
        for one in report.judged:
            if one.check.category == category:
                _print_one(console, one, word=one.found.result)
                if one.found.result in ("fail", "warn"):
                    _print_evidence(console, one)
    console.print()


def _print_one(console: Console, one: Judged, word: str = "") -> None:
    text = strip_control_sequences(f"{one.check.name}: {one.found.message}")
    first, *more = _wrap_words(console, text, indent=INDENT + (5 if word else 0))
    shown = Text.assemble(("  ", ""), (f"{word:<5}" if word else "", STYLES.get(word, "")))
    shown.append(f"{one.check.code}  ", style=STYLES[one.found.result])
    shown.append(first.strip())
    console.print(shown, soft_wrap=True)
    _print_lines(console, more)
    if one.found.hint:
        _print_fix(console, one.found.hint, indent=INDENT + (5 if word else 0))


def _print_evidence(console: Console, one: Judged) -> None:
    for name, value in one.found.evidence.items():
        words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        console.print(Text(f"{'':>{INDENT + 5}}{name}: {strip_control_sequences(words)}", style="dim"), soft_wrap=True)


def _print_sums(console: Console, report: Report) -> None:
    nonzero = _count_nonzero(report)
    sums = ", ".join(f"{number} {'warning' if (name, number) == ONE else name}" for name, number in nonzero.items())
    console.print(Text(f"{sums}; {span(report.took_s)}", style="dim"))
    if report.verdict.code:
        console.print(Text(f"why: stigmer doctor explain {report.verdict.code}", style="dim"))


def _print_brief(console: Console, name: str, words: str) -> None:
    _print_lines(console, _wrap_words(console, f"{name}: {words}", indent=2), style="dim")


def _print_fix(console: Console, command: str, *, indent: int) -> None:
    """Print it on one line: a wrapped command cannot be pasted."""
    console.print(Text.assemble(" " * indent, ("fix: ", "cyan"), strip_control_sequences(command)), soft_wrap=True)


def _print_lines(console: Console, lines: Sequence[str], *, style: str = "") -> None:
    for line in lines:
        console.print(Text(line, style=style), soft_wrap=True)


def _wrap_words(console: Console, text: str, *, indent: int) -> list[str]:
    """Wrap `text` at words, all lines but the first indented; a single line if the output is no terminal."""
    words = " ".join(text.split())
    if not console.is_terminal:
        return [words]
    later = " " * indent
    # The first line follows a prefix as wide as the indent, or starts at the margin.
    lines = textwrap.wrap(
        words,
        console.width,
        initial_indent=later,
        subsequent_indent=later,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [lines[0].strip(), *lines[1:]] if lines else [""]


def _select_result(report: Report, result: str) -> list[Judged]:
    return [one for one in report.judged if one.found.result == result]


def _count_nonzero(report: Report) -> Mapping[str, int]:
    summary = report.summary
    order = ("failed", "warnings", "passed", "info", "skipped")
    return {name: summary[name] for name in order if summary[name]}
