"""The request to reconcile, and its answer: one line for each execution, then a summary."""

from pydantic import Field

from stigmer_cli.api.findings import Action, Finding, ReconcileOutcome
from stigmer_cli.api.problem import Problem
from stigmer_cli.api.wire import Asked, Sent
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase

IDS_MAX = 10_000


class ReconcileRequest(Asked):
    """Which open executions to look at, and what may be done about them. Empty filters let everything through."""

    ids: list[str] = Field(default_factory=list, max_length=IDS_MAX)
    phases: list[Phase] = Field(default_factory=list)
    kinds: list[Kind] = Field(default_factory=list)
    older_than_s: float = Field(default=0.0, ge=0, le=1e9)
    limit: int | None = Field(default=None, ge=1)
    include_in_progress: bool = False
    dry_run: bool = False
    asked_by: str = Field(default="somebody", min_length=1, max_length=200)


class ReconcileItem(Sent):
    """What was found about one execution, what was done, why, and what came of it."""

    id: str
    phase: Phase
    found: Finding | str
    action: Action | str
    cause: str
    outcome: ReconcileOutcome | str


class ReconcileSummary(Sent):
    """How many executions were looked at, and what became of them."""

    examined: int = 0
    resubmitted: int = 0
    repaired: int = 0
    attention: int = 0
    skipped: int = 0
    failed: int = 0


class ReconcileProgress(Sent):
    """How many executions have been examined, of at most `total`."""

    examined: int
    total: int


class ReconcileLine(Sent):
    """One line of the stream: the progress, an item, the summary at the end, or the problem that ended it early."""

    progress: ReconcileProgress | None = None
    item: ReconcileItem | None = None
    summary: ReconcileSummary | None = None
    problem: Problem | None = None
