"""What a check is: data about one question, and the small function that answers it from the facts."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stigmer_cli.doctor.facts import Facts

TIMEOUT_S = 1.0
BUSY_S = 2.0
"""For probes that take milliseconds where a machine has time; one that has none is not to be called ill for it."""

UNJUDGED, BROKEN = "could not be judged", "this check itself is broken"
"""How the message of a check begins that came to no end: nothing to act upon."""

BUSY, SILENT = "the machine is busy", "no answer in time"
"""Why a check came to no end: it was not given the time that it needs, or it was, and nothing came."""

Evidence = Mapping[str, object]


class Category(StrEnum):
    """What a check is about, in the order in which a report tells of it."""

    STACK = "Stack"
    TEMPORAL = "Temporal"
    STORE = "Store"
    EXECUTIONS = "Executions"
    CONFIGURATION = "Configuration"


class Severity(StrEnum):
    """How bad it is at worst when a check does not pass."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Result(StrEnum):
    """What a check found; scripts may rely on these words."""

    PASS = "pass"  # noqa: S105 - a word, no password
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a probe found. `hint` is a command that can be pasted; `because` is the check that a skip is the fault of.

    `unjudged` is why the probe came to no end; empty where it did.
    """

    result: Result
    message: str
    hint: str = ""
    evidence: Evidence = field(default_factory=dict)
    because: str = ""
    unjudged: str = ""

    @property
    def is_blocking(self) -> bool:
        """Whether what needs this check cannot be judged."""
        return self.result is Result.FAIL or bool(self.because or self.unjudged)

    @property
    def is_certain(self) -> bool:
        """Whether the probe came to an end: what is told was seen, and is not only feared."""
        return not (self.unjudged or self.message.startswith(BROKEN))


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question. `needs` are codes of checks without which the answer would mean nothing."""

    code: str
    category: Category
    name: str
    severity: Severity
    explanation: str
    probe: "Callable[[Facts], Awaitable[Found]]"
    needs: tuple[str, ...] = ()
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A check and what it found, in how many milliseconds."""

    check: Check
    found: Found
    duration_ms: int = 0


def passed(message: str, **evidence: object) -> Found:
    """All is well."""
    return Found(result=Result.PASS, message=message, evidence=evidence)


def told(message: str, **evidence: object) -> Found:
    """Worth knowing, and nothing is wrong."""
    return Found(result=Result.INFO, message=message, evidence=evidence)


def warned(message: str, hint: str, **evidence: object) -> Found:
    """It works, and should be looked at."""
    return Found(result=Result.WARN, message=message, hint=hint, evidence=evidence)


def failed(message: str, hint: str, **evidence: object) -> Found:
    """It does not work."""
    return Found(result=Result.FAIL, message=message, hint=hint, evidence=evidence)


def skipped(message: str) -> Found:
    """There is nothing to judge here."""
    return Found(result=Result.SKIP, message=message)


def unjudged(why: str, message: str, hint: str) -> Found:
    """The probe came to no end: it is known neither that all is well nor that it is not."""
    return Found(result=Result.SKIP, message=f"{UNJUDGED}: {message}", hint=hint, unjudged=why)


def because(code: str) -> Found:
    """It cannot be judged, and check `code` says why."""
    return Found(result=Result.SKIP, message=f"because {code}", because=code)
