"""What a check is: one question about the stack, beside the small function that answers it from the facts.

@check("STG201", "reachable from here", needs=("STG105",), scope=Scope.TEMPORAL)
async def reachable(facts: Facts) -> Found:
    \"\"\"What it looks at, and what it means when it fails; `stigmer doctor explain` prints it.\"\"\"
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from stigmer_cli.doctor.facts.facts import Facts
    from stigmer_cli.doctor.repairs.fix import Fix

TIMEOUT_S = 1.0
BUSY_S = 2.0
"""For probes that take milliseconds on an idle machine; a busy machine must not look like a fault."""

UNJUDGED, BROKEN = "could not be judged", "this check itself is broken"
"""How the message of a check begins that did not finish: there is nothing to act on."""

BUSY, SILENT = "the machine is busy", "no answer in time"
"""Why a check did not finish: it got too little processor time, or it got enough and no answer came."""

SERVER_BUSY = "the server is busy"
"""Why no answer came: the server has more to do than it can, and says so."""

Evidence = Mapping[str, object]


class Category(StrEnum):
    """What a check is about, in the order of a report."""

    STACK = "Stack"
    TEMPORAL = "Temporal"
    STORE = "Store"
    EXECUTIONS = "Executions"
    CONFIGURATION = "Configuration"


HUNDREDS: Mapping[str, Category] = dict(zip("12345", Category, strict=True))
"""The first digit of a code says its category."""


class Severity(StrEnum):
    """The worst result that a check can have."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Scope(StrEnum):
    """What a check looks at, which decides whether it can judge a server on another machine."""

    ANYWHERE = "anywhere"
    """What the server says, or what this command alone decides."""

    MACHINE = "this machine"
    """Processes and files of this machine; a server elsewhere has its own."""

    TEMPORAL = "Temporal from here"
    """Temporal as this machine reaches it, which for a server elsewhere needs an address of Temporal."""


class Result(StrEnum):
    """What a check found; scripts may rely on these words."""

    PASS = "pass"  # noqa: S105 - a word, no password
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a probe found. `hint` is a command that can be pasted; `because` is the check that caused a skip.

    `unjudged` is why the probe did not finish; empty where it did.
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
        """Whether the probe finished, so that the message says what was observed."""
        return not (self.unjudged or self.message.startswith(BROKEN))


Probe = Callable[["Facts"], Awaitable[Found]]


class Options(TypedDict, total=False):
    """The options of a check beside its code and name; `Check` documents them."""

    needs: tuple[str, ...]
    severity: Severity
    timeout_s: float
    scope: Scope
    settles: bool
    part: str
    repair: "Fix"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question. `needs` are codes of checks without which the answer would mean nothing.

    `settles`: it may fail for a moment after a part was started, until that part listens, is connected and polls.
    `part` is the part of the stack whose process it looks at, and `repair` the repair that is safe without asking.
    """

    code: str
    name: str
    explanation: str
    probe: Probe
    needs: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR
    timeout_s: float = TIMEOUT_S
    scope: Scope = Scope.ANYWHERE
    settles: bool = False
    part: str = ""
    repair: "Fix | None" = None

    @property
    def category(self) -> Category:
        """What it is about."""
        return HUNDREDS[self.code[len("STG")]]

    async def __call__(self, facts: "Facts") -> Found:
        """What its probe finds."""
        return await self.probe(facts)


def check(code: str, name: str, **options: Unpack[Options]) -> Callable[[Probe], Check]:
    """Make a check of the function that answers it; the function's docstring is the explanation."""

    def make(probe: Probe) -> Check:
        return Check(code=code, name=name, explanation=" ".join((probe.__doc__ or "").split()), probe=probe, **options)

    return make


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
    """The probe did not finish: nothing is known."""
    return Found(result=Result.SKIP, message=f"{UNJUDGED}: {message}", hint=hint, unjudged=why)


def because(code: str) -> Found:
    """It cannot be judged, and check `code` says why."""
    return Found(result=Result.SKIP, message=f"because {code}", because=code)
