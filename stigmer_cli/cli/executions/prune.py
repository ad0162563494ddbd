"""`stigmer executions prune`: deletes executions that have ended, after a preview and a question."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.prune import PRUNE_MAX, PruneOutcome
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.options import PruneOptions, Selection
from stigmer_cli.cli.executions.preview import (
    ENDED,
    Candidate,
    agree_on,
    check_can_ask,
    describe_number,
    find_candidates,
    print_preview,
)
from stigmer_cli.cli.executions.selection import describe_query, make_query
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.errors import StigmerError

NOTHING_DONE = "nothing was deleted"
WHY_KEPT = "needed by an open execution, or open again"


def prune_executions(cli: Cli, selection: Selection, options: PruneOptions) -> int:
    """Show what is selected, ask, and delete it; returns the exit code.

    Exactly what was shown is deleted. Raises ConfigError if it has to ask and cannot.
    """
    is_asked = not (options.is_dry_run or options.is_agreed)
    if is_asked:
        check_can_ask(cli, "deleting")
    query = make_query(cli, selection)
    found = cli.call(lambda client: find_candidates(client, query, ENDED))[options.keep_last :]
    account = _Account(found=found, asked=describe_query(query), is_dry_run=options.is_dry_run)
    if options.is_dry_run:
        account.print_end(cli)
        return 0
    if is_asked and found:
        agree_on(cli, found, f"Delete {describe_number(found)} for good?", otherwise=NOTHING_DONE)
    cli.out.outlives_reader = True
    try:
        _delete(cli, account)
    except (KeyboardInterrupt, StigmerError):
        account.print_end(cli, is_complete=False)
        raise
    account.print_end(cli)
    return 0


@dataclass(frozen=True, kw_only=True)
class _Account:
    """What was found by the options `asked`, and what came of it so far."""

    found: Sequence[Candidate]
    asked: str
    is_dry_run: bool
    counts: Counter[PruneOutcome] = field(default_factory=Counter)

    def print_end(self, cli: Cli, *, is_complete: bool = True) -> None:
        """Print the account: in JSON with the ids, in words otherwise."""
        summary = {"selected": len(self.found), **{outcome.value: self.counts[outcome] for outcome in PruneOutcome}}
        data = {
            "dryRun": self.is_dry_run,
            "ids": [one.id for one in self.found],
            "summary": summary,
            "complete": is_complete,
        }
        cli.out.result(data, lambda console: self._print(console, cli.now(), is_complete=is_complete))

    def _print(self, console: Console, now: datetime, *, is_complete: bool) -> None:
        if not self.found:
            told = f"no executions that have ended match {self.asked}" if self.asked else "no execution has ended"
        elif self.is_dry_run:
            print_preview(console, self.found, now)
            told = f"would be deleted: {len(self.found):,}"
        else:
            kept = f", {self.counts[PruneOutcome.KEPT]:,} kept: {WHY_KEPT}" if self.counts[PruneOutcome.KEPT] else ""
            told = f"{'' if is_complete else 'broken off: '}{self.counts[PruneOutcome.DELETED]:,} deleted{kept}"
        console.print(Text(strip_control_sequences(told)), soft_wrap=True)


def _delete(cli: Cli, account: _Account) -> None:
    for first in range(0, len(account.found), PRUNE_MAX):
        names = [one.id for one in account.found[first : first + PRUNE_MAX]]
        for item in call_with_retry(cli, lambda client, names=names: client.prune_executions(names)):  # type: ignore[misc]
            account.counts[item.outcome] += 1
            cli.out.stream({"item": item.to_wire()})
