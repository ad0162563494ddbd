"""Shows what came of cancelling many executions: counts, or each as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.text import Text

from stigmer_cli.api.cancel import CancelItem, CancelOutcome
from stigmer_cli.cli.executions.preview import Candidate, print_preview
from stigmer_cli.cli.output import Format, Output, strip_control_sequences
from stigmer_cli.domain.phase import Phase

WORDS = {
    CancelOutcome.CANCELLED: "cancelled",
    CancelOutcome.ASKED: "asked to end",
    CancelOutcome.ENDED: "had ended before",
    CancelOutcome.MISSING: "not found",
}
PLANNED = {Phase.PENDING: CancelOutcome.CANCELLED, Phase.IN_PROGRESS: CancelOutcome.ASKED}


@dataclass(kw_only=True)
class CancelCounts:
    """How many there are of each outcome. `asked`: the options that selected the executions; empty: they were named."""

    asked: str = ""
    outcomes: Counter[CancelOutcome] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many were told so far."""
        return self.outcomes.total()

    @property
    def is_missing_any(self) -> bool:
        """Whether an execution that was named does not exist."""
        return not self.asked and self.outcomes[CancelOutcome.MISSING] > 0

    def to_wire(self) -> dict[str, int]:
        """The counts by outcome, zeros included."""
        return {outcome.value: self.outcomes[outcome] for outcome in CancelOutcome}

    def __str__(self) -> str:
        """The counts in words."""
        told = [f"{self.outcomes[outcome]:,} {words}" for outcome, words in WORDS.items() if self.outcomes[outcome]]
        return ", ".join(told)


class CancelView:
    """Prints outcomes as they come in stream-json, and everything at the end in the other formats."""

    def __init__(self, out: Output, found: Sequence[Candidate], *, is_dry_run: bool, now: datetime) -> None:
        self._out = out
        self._found = found
        self._is_dry_run = is_dry_run
        self._now = now
        self._items: list[dict[str, object]] = []

    def plan(self, one: Candidate, counts: CancelCounts) -> None:
        """Take an execution that would be cancelled, or has ended."""
        outcome = PLANNED.get(one.phase, CancelOutcome.ENDED)
        self.item(CancelItem(id=one.id, phase=one.phase, outcome=outcome), counts)

    def item(self, item: CancelItem, counts: CancelCounts) -> None:
        """Take what came of one execution."""
        counts.outcomes[item.outcome] += 1
        if self._out.format is Format.JSON:
            self._items.append(item.to_wire())
        self._out.stream({"item": item.to_wire()})

    def end(self, counts: CancelCounts, *, is_complete: bool) -> None:
        """Print the summary; not `is_complete`: an error or Ctrl-C ended it."""
        rest = {"summary": counts.to_wire(), "complete": is_complete}
        items = {} if self._out.format is Format.STREAM_JSON else {"items": self._items}
        self._out.result(
            {"dryRun": self._is_dry_run, **items, **rest}, lambda _console: self._print(counts, is_complete=is_complete)
        )

    def _print(self, counts: CancelCounts, *, is_complete: bool) -> None:
        console = self._out.stdout
        if not counts.total:
            none = f"no open executions match {counts.asked}" if counts.asked else "no open executions"
            console.print(Text(strip_control_sequences(none)))
            return
        if self._is_dry_run:
            print_preview(console, self._found, self._now)
        before = "would be: " if self._is_dry_run else "" if is_complete else "broken off: "
        console.print(f"{before}{counts}" + ("" if is_complete else " so far"), soft_wrap=True)
