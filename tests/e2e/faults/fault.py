"""One fault as data: how it is injected, what doctor's first line must then say, and whether what it says mends it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum

from tests.e2e.faults.harness import Harness


class On(StrEnum):
    """Which home a fault is injected into."""

    OWN = "a stack with a Temporal of its own"
    OTHERS = "a stack with a Temporal that somebody else runs"
    COLD = "a stack that is down"


class Mends(StrEnum):
    """What the command does that doctor names."""

    PASTED = "pasted while the fault is there, it ends it"
    WAITS = "begun while the fault is there, it ends well when the fault does"
    SHOWS = "it shows what a person has to do, who does it"
    OTHER_MACHINE = "it sets the clock of a machine, and is not run by a test"
    NEEDLESS = "there is nothing to mend"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault of the list of faults; `inject` brings it about, and at its end takes away what no command can.

    `verdict` and `fix` are literal, but for what differs from run to run (see `tame`). `code` is empty where nothing is
    wrong. `is_slow` rows are run by hand: they take longer than six seconds, or a row beside them differs little, or
    another test meets the fault in every run.
    """

    fault: str
    what: str
    on: On
    inject: Callable[[Harness], AbstractContextManager[None]]
    code: str
    exit_code: int
    verdict: str
    fix: str = ""
    mends: Mends = Mends.PASTED
    is_slow: bool = False
