"""What workflow and activities share by name; all that may stand in Temporal's history beside ids and numbers."""

from enum import StrEnum

from stigmer_cli.temporal import workflow_input

CLAIM = "claim"
PERFORM = "perform"
CONCLUDE = "conclude"

PERFORM_ATTEMPTS_MAX = 5
"""In how many runner processes an execution may begin to be performed: one that kills them must not go on for ever.

This and the next two count from the last attempt on that recorded a step: that ended well."""

BEGUN_MAX = 10
"""How often it may begin in all. Temporal also hands it out again where a busy machine, or a slow connection, kept a
runner that lives from reporting for 2.5 s: that is not the execution's fault, and yet each attempt may cost."""

DELIVERIES_MAX = 25
"""How often Temporal hands it out: also to a frozen runner that does not start it, and to one that dies waiting. Not
among these are attempts that met a busy model (`model_retry.py`), so Temporal itself has no limit."""

ALONE_FROM = 3
"""From this delivery on a runner performs one such execution at a time: one that kills it then ends no other. What met
a busy model does not count here either."""

RENEW_S = 1_800.0
"""From this age on an attempt begins no step that must not happen twice, and leaves it to another one: Temporal ends it
after an hour, in the middle of whatever it does."""

FIRST_RUN = "firstRun"
CLAIMS = "claims"
"""In the input of `perform`: it claims the execution itself, with its beginning."""

PHASE = "phase"
KIND = "kind"


class Ending(StrEnum):
    """How a run ended, as its workflow's result."""

    PERFORMED = workflow_input.PERFORMED
    SUPERSEDED = "superseded"


class FailureKind(StrEnum):
    """Why a run failed without a model's own words for it."""

    RUNNER_LOST = "runner-lost"
    RUNNER_STOPPED = "runner-stopped"
    TIMED_OUT = "timed-out"
    ATTEMPT_TOO_LONG = "attempt-too-long"
    MODEL_BUSY = "model-busy"
    MODEL_INTERRUPTED = "model-interrupted"
    REPORT_REFUSED = "report-refused"
    REPORT_CONFLICT = "report-conflict"
    REPORT_FAILED = "report-failed"
    OVERTAKEN = "overtaken"
    NOT_MINE = "not-mine"
    MALFORMED = "malformed"
    UNEXPECTED = "unexpected"
    CANCELLED = "cancelled"


KINDS: dict[str, FailureKind] = {str(kind): kind for kind in FailureKind}

FAILED_EACH_TIME = (
    "its runner failed unexpectedly, or stopped responding, each time it was performed; see `stigmer logs runner`"
)
"""Of a run that began again and again in one process: its runner has not died."""

SENTENCES: dict[FailureKind, str] = {
    FailureKind.RUNNER_LOST: (
        "its runner died, or stopped responding, each time it was performed; see `stigmer logs runner`"
    ),
    FailureKind.RUNNER_STOPPED: f"the runner was stopped {PERFORM_ATTEMPTS_MAX} times while performing it",
    FailureKind.TIMED_OUT: "it took longer than it was allowed to",
    FailureKind.ATTEMPT_TOO_LONG: "one attempt took longer than an hour",
    FailureKind.MODEL_BUSY: "its model was busy, or could not be reached, until the time for its tries was used up",
    FailureKind.MODEL_INTERRUPTED: f"the model's answer broke off in each of {PERFORM_ATTEMPTS_MAX} attempts",
    FailureKind.REPORT_REFUSED: "the server refused what the runner reported; see `stigmer logs runner server`",
    FailureKind.REPORT_CONFLICT: "the server has something else than the runner reported; see `stigmer logs server`",
    FailureKind.REPORT_FAILED: "the server failed at what the runner reported; see `stigmer logs server`",
    FailureKind.OVERTAKEN: "its attempts were counted from the first again, and none came after those that had begun",
    FailureKind.NOT_MINE: "the store of the runner that took it up knows no such execution under this workflow",
    FailureKind.MALFORMED: "the workflow was not started by Stigmer: what it was given names no execution",
    FailureKind.UNEXPECTED: "the runner failed unexpectedly; see `stigmer logs runner`",
    FailureKind.CANCELLED: "cancelled",
}
