"""What a reconcile calls what it finds and does; scripts may rely on these words."""

from enum import StrEnum

from stigmer_cli.domain.stuck import StuckClass


class Finding(StrEnum):
    """What a row and its workflow are to each other."""

    QUEUED = str(StuckClass.QUEUED)
    REFUSED = str(StuckClass.REFUSED)
    ORPHAN = str(StuckClass.ORPHAN)
    STARTING = "starting"
    RUNNING = "running"
    BEHIND = str(StuckClass.BEHIND)
    INTERRUPTED = str(StuckClass.INTERRUPTED)
    LOST = str(StuckClass.LOST)
    PARKED = "parked"
    WAITING = "waiting"
    UNKNOWN = str(StuckClass.UNKNOWN)
    FRESH = "fresh"
    CANNOT_REPLAY = str(StuckClass.CANNOT_REPLAY)
    HELD = str(StuckClass.HELD)


class Action(StrEnum):
    """What is done about it."""

    NONE = "none"
    RESUBMIT = "resubmit"
    REPAIR = "repair"
    MARK = "mark"
    UNMARK = "unmark"
    START_OVER = "start-over"
    RESUME = "resume"
    RETRY = "retry"


class ReconcileOutcome(StrEnum):
    """What became of it."""

    RESUBMITTED = "resubmitted"
    REPAIRED = "repaired"
    ATTENTION = "attention"
    CHANGED = "skipped: changed"
    LEFT = "skipped"
    PLANNED = "planned"
    FAILED = "failed"
