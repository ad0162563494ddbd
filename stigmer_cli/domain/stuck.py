"""What is called stuck: the classes of executions that do not get on, and what to type for each."""

from collections.abc import Mapping
from enum import StrEnum

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase


class StuckClass(StrEnum):
    """Why an execution does not get on; scripts may rely on these words."""

    QUEUED = "queued"
    REFUSED = "refused"
    ORPHAN = "orphan"
    BEHIND = "behind"
    LOST = "lost"
    SUBMIT_FAILED = "submit-failed"
    RESULT_UNKNOWN = "result-unknown"
    WAITING_FOR_RUNNER = "waiting for a runner"
    STARTING_LATE = "starting late"
    CANNOT_REPLAY = "cannot-replay"
    KEEPS_FAILING = "keeps-failing"
    UNKNOWN = "unknown"


RECONCILE = "stigmer executions reconcile {id}"
START_OVER = f"{RECONCILE} --include-in-progress starts it over; what its run did may be done again"

_WAYS_OUT: Mapping[StuckClass, str] = {
    StuckClass.ORPHAN: RECONCILE,
    StuckClass.BEHIND: RECONCILE,
    StuckClass.REFUSED: RECONCILE,
    StuckClass.SUBMIT_FAILED: RECONCILE,
    StuckClass.RESULT_UNKNOWN: START_OVER,
    StuckClass.LOST: START_OVER,
    StuckClass.CANNOT_REPLAY: START_OVER,
    StuckClass.KEEPS_FAILING: "stigmer restart runner, or stigmer executions cancel {id}",
    StuckClass.WAITING_FOR_RUNNER: "stigmer up, or stigmer work",
}
_UNCLAIMED: Mapping[StuckClass, str] = {
    StuckClass.CANNOT_REPLAY: RECONCILE,
    StuckClass.RESULT_UNKNOWN: RECONCILE,
    StuckClass.LOST: RECONCILE,
}
"""Where no run has claimed it, no effect can be repeated."""

MENDABLE = frozenset({StuckClass.ORPHAN, StuckClass.BEHIND})
"""What a reconcile that names no id mends."""


def way_out(kind: StuckClass, execution: ExecutionId, phase: Phase) -> str:
    """What to type for an execution of this class: a command, and perhaps words behind it."""
    found = _WAYS_OUT.get(kind, "stigmer doctor")
    return (_UNCLAIMED.get(kind, found) if phase is Phase.PENDING else found).format(id=execution)
