"""Counts the items of a reconcile, and keeps the few that are shown, never all of them."""

from collections import Counter
from collections.abc import Sequence

from stigmer_cli.api.findings import Action, Finding, ReconcileOutcome
from stigmer_cli.api.reconcile import IDS_MAX, ReconcileItem, ReconcileProgress, ReconcileSummary

SHOWN_MAX = 20
COUNTED = (
    ReconcileOutcome.RESUBMITTED,
    ReconcileOutcome.REPAIRED,
    ReconcileOutcome.ATTENTION,
    ReconcileOutcome.FAILED,
)
"""The outcomes that a summary counts by their own name; every other is skipped."""

OFF_PLAN = frozenset({ReconcileOutcome.CHANGED, ReconcileOutcome.FAILED})


class ReconcileCounts:
    """Counts what the server reports.

    `changed` are the ids, up to `IDS_MAX`, of rows that another process moved meanwhile. `is_under_way`: the server
    was asked and has not refused. `has_items`: this try reported an item.
    """

    def __init__(self) -> None:
        self.actions: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.changed: list[str] = []
        self.examined = 0
        self.total: int | None = None
        self.is_under_way = False
        self.has_items = False
        self._is_new_try = False
        self._classes: Counter[str] = Counter()
        self._classes_off_plan: Counter[str] = Counter()
        self._first: list[ReconcileItem] = []
        self._off_plan: list[ReconcileItem] = []
        self._summary: ReconcileSummary | None = None
        self._before = ReconcileSummary()

    @property
    def classes(self) -> Counter[str]:
        """How many were found of each class."""
        return self._classes + self._classes_off_plan

    @property
    def number(self) -> int:
        """How many items were reported."""
        return self.classes.total()

    @property
    def planned(self) -> int:
        """How many of them need an action."""
        return self.number - self.actions[Action.NONE]

    @property
    def shown(self) -> Sequence[ReconcileItem]:
        """Up to `SHOWN_MAX` of them: first those that did not go as planned, then the others in the order reported."""
        return [*self._off_plan, *self._first][:SHOWN_MAX]

    @property
    def left_over(self) -> bool:
        """Whether something failed or could not be judged; `changed` does not count."""
        return self.summary.failed > 0 or self.classes[Finding.UNKNOWN] > 0

    @property
    def summary(self) -> ReconcileSummary:
        """The server's summary, or the counts so far if it was interrupted before that."""
        counted = {str(outcome): self.outcomes[outcome] for outcome in COUNTED}
        last = self._summary or ReconcileSummary(
            examined=self.examined, skipped=max(0, self.examined - sum(counted.values())), **counted
        )
        before = self._before
        return last.model_copy(
            update={
                "resubmitted": before.resubmitted + last.resubmitted,
                "repaired": before.repaired + last.repaired,
                "attention": before.attention + last.attention,
            }
        )

    def begin_again(self) -> None:
        """Prepare for another try. The counts stay as they are until it reports, for it may never do so."""
        self.is_under_way = self.has_items = False
        self._is_new_try = True

    def _keep_done(self) -> None:
        """What was done stays counted; what failed or was skipped is examined again."""
        self._is_new_try = False
        self._before = self.summary
        self._summary = None
        self.outcomes.clear()
        self.changed.clear()
        self._off_plan.clear()
        self._classes_off_plan.clear()
        self.examined = 0

    def add(self, found: ReconcileItem | ReconcileProgress | ReconcileSummary) -> None:
        """Count one line of the server's answer."""
        if self._is_new_try:
            self._keep_done()
        match found:
            case ReconcileItem():
                self._count(found)
            case ReconcileProgress():
                self.examined, self.total = max(self.examined, found.examined), found.total
            case ReconcileSummary():
                self._summary = found

    def _count(self, item: ReconcileItem) -> None:
        self.has_items = True
        self.actions[item.action] += 1
        self.outcomes[item.outcome] += 1
        self.examined = max(self.examined, self.outcomes.total())
        is_off_plan = item.outcome in OFF_PLAN or item.found == Finding.UNKNOWN
        classes, kept = (self._classes_off_plan, self._off_plan) if is_off_plan else (self._classes, self._first)
        classes[item.found] += 1
        if len(kept) < SHOWN_MAX:
            kept.append(item)
        if item.outcome == ReconcileOutcome.CHANGED and len(self.changed) < IDS_MAX:
            self.changed.append(item.id)
