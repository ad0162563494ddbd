"""The result of all checks together: the first cause, the counts, the JSON shape; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stigmer_cli.doctor.catalog import CAUSES_FIRST
from stigmer_cli.doctor.check import BUSY, SERVER_BUSY, SILENT, Category, Judged, Result
from stigmer_cli.doctor.repairs.fix import FixResult

if TYPE_CHECKING:
    from stigmer_cli.doctor.facts.facts import Facts

SUMMED: dict[Result, str] = {
    Result.PASS: "passed",
    Result.INFO: "info",
    Result.WARN: "warnings",
    Result.FAIL: "failed",
    Result.SKIP: "skipped",
}
NOT_JUDGED = "notJudged"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One line: what is wrong first of all, and what to type. `code` is empty where nothing is wrong."""

    message: str
    code: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return {"code": self.code or None, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that was found. `is_strict` counts warnings as failures; `fixes` is None where none were asked for."""

    judged: tuple[Judged, ...]
    is_strict: bool = False
    took_s: float = 0.0
    fixes: tuple[FixResult, ...] | None = None

    @property
    def is_ok(self) -> bool:
        """Whether nothing failed; with `is_strict` nothing warned either, and everything could be judged."""
        summary = self.summary
        return not (summary["failed"] or (self.is_strict and (summary["warnings"] or self.unjudged)))

    @property
    def exit_code(self) -> int:
        """0 where all is well, else 1."""
        return 0 if self.is_ok else 1

    @property
    def summary(self) -> dict[str, int]:
        """The number of checks by result; `notJudged` are the skipped ones that did not finish."""
        sums = {name: len(self.having(result)) for result, name in SUMMED.items()}
        return {**sums, NOT_JUDGED: len(self.unjudged)}

    @property
    def verdict(self) -> Verdict:
        """The first cause of all that failed; without failures the first warning; else that all is well.

        What could not be judged is not ill: then all is well as far as could be seen.
        """
        if not self.ill:
            return self._well
        first = self.ill[0]
        word = "not healthy" if first.found.result is Result.FAIL else "healthy, with a warning"
        what = "" if first.found.is_certain else f"{first.check.name}: "
        return Verdict(message=f"{word}: {what}{first.found.message}", code=first.check.code, hint=first.found.hint)

    @property
    def first_failure(self) -> Verdict | None:
        """What failed first, in its own words; None if nothing did for certain."""
        first = next((one for one in self.ill if one.found.result is Result.FAIL and one.found.is_certain), None)
        if first is None:
            return None
        return Verdict(message=first.found.message, code=first.check.code, hint=first.found.hint)

    @property
    def _well(self) -> Verdict:
        whys = {one.found.unjudged for one in self.unjudged} - {""}
        if not whys:
            return Verdict(message="healthy")
        why = next((why for why in (SERVER_BUSY, BUSY) if why in whys), SILENT)
        message = f"healthy as far as could be seen, {len(self.unjudged)} not judged ({why})"
        return Verdict(message=message, hint="stigmer doctor -v")

    @property
    def unjudged(self) -> tuple[Judged, ...]:
        """The checks that did not finish, and those that cannot be judged without them."""
        ended = {one.check.code for one in self.judged if one.found.unjudged}
        return tuple(one for one in self.judged if one.check.code in ended or one.found.because in ended)

    def having(self, result: Result) -> tuple[Judged, ...]:
        """The checks that ended in `result`, by category and code."""
        order = list(Category)
        found = [one for one in self.judged if one.found.result is result]
        return tuple(sorted(found, key=lambda one: (order.index(one.check.category), one.check.code)))

    @property
    def ill(self) -> tuple[Judged, ...]:
        """What failed, then what warned, causes before effects in each."""
        return (*sorted(self.having(Result.FAIL), key=_rank), *sorted(self.having(Result.WARN), key=_rank))

    def to_json(self) -> dict[str, object]:
        """The JSON object that scripts may rely on."""
        found = {
            "ok": self.is_ok,
            "verdict": self.verdict.to_json(),
            "summary": self.summary,
            "checks": [_check_json(one) for one in self.judged],
            "tookMs": round(self.took_s * 1000),
        }
        return found if self.fixes is None else {**found, "fixes": [one.to_json() for one in self.fixes]}


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A report, and the facts that it was made from."""

    facts: "Facts"
    report: Report


def select_reported(judged: Sequence[Judged], *, only: frozenset[str] = frozenset()) -> tuple[Judged, ...]:
    """The checks to report: `only`, and those that block them, also through others; all where `only` is empty."""
    blocker = {one.check.code: one.found.because for one in judged}
    wanted = set(only)
    for code in only:
        while (code := blocker.get(code, "")) and code not in wanted:
            wanted.add(code)
    return tuple(one for one in judged if not only or one.check.code in wanted)


def _rank(one: Judged) -> tuple[bool, int, str]:
    """A fault that was found comes before one that may be there."""
    code = one.check.code
    place = CAUSES_FIRST.index(code) if code in CAUSES_FIRST else len(CAUSES_FIRST)
    return (not one.found.is_certain, place, code)


def _check_json(one: Judged) -> dict[str, object]:
    return {
        "code": one.check.code,
        "category": one.check.category,
        "name": one.check.name,
        "result": one.found.result,
        "message": one.found.message,
        "hint": one.found.hint,
        "evidence": dict(one.found.evidence),
        "durationMs": one.duration_ms,
        "because": one.found.because or None,
    }
