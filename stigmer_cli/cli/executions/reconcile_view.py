"""How a reconcile is shown: item by item as JSON, or as a table of steps, cut, with the rest counted."""

import json
import textwrap
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stigmer_cli.api.findings import ReconcileOutcome
from stigmer_cli.api.reconcile import ReconcileItem
from stigmer_cli.cli.execution_reason import brief
from stigmer_cli.cli.executions.reconcile_counts import ReconcileCounts
from stigmer_cli.cli.output import Format, Output, fit

CAUSE_MAX = 240
DITTO = '"'


class View(Protocol):
    """Where the result goes while it comes."""

    def item(self, item: ReconcileItem) -> None:
        """One execution, what was found and what came of it."""

    def end(self, counts: ReconcileCounts, *, is_complete: bool) -> None:
        """Nothing more comes; not `is_complete`: it was broken off."""


def view_of(out: Output, *, is_dry_run: bool) -> View:
    """The view for the format that was asked for."""
    match out.format:
        case Format.TABLE:
            return TableView(out, is_dry_run=is_dry_run)
        case Format.JSON:
            return ObjectView(out, is_dry_run=is_dry_run)
        case Format.STREAM_JSON:
            return StreamView(out, is_dry_run=is_dry_run)


class StreamView:
    """One line of JSON an item, and one for the summary."""

    def __init__(self, out: Output, *, is_dry_run: bool) -> None:
        self._out = out
        self._is_dry_run = is_dry_run

    def item(self, item: ReconcileItem) -> None:
        """Write its line."""
        self._out.stream({"item": item.to_wire()})

    def end(self, counts: ReconcileCounts, *, is_complete: bool) -> None:
        """Write the summary."""
        self._out.stream({"dryRun": self._is_dry_run, "summary": counts.summary.to_wire(), "complete": is_complete})


class ObjectView:
    """One JSON object, written while it comes, so that a large one is never held as a whole."""

    def __init__(self, out: Output, *, is_dry_run: bool) -> None:
        self._out = out
        self._is_dry_run = is_dry_run
        self._number = 0

    def item(self, item: ReconcileItem) -> None:
        """Write it as the next of the list."""
        body = textwrap.indent(json.dumps(item.to_wire(), ensure_ascii=False, indent=2), "    ")
        self._out.raw(f"{',' if self._number else self._head()}\n{body}")
        self._number += 1

    def end(self, counts: ReconcileCounts, *, is_complete: bool) -> None:
        """Close the list and the object."""
        close = "\n  ]" if self._number else f"{self._head()}]"
        rest = json.dumps({"summary": counts.summary.to_wire(), "complete": is_complete}, indent=2)
        self._out.raw(f"{close},{rest.removeprefix('{')}\n")

    def _head(self) -> str:
        return f'{{\n  "dryRun": {json.dumps(self._is_dry_run)},\n  "items": ['


class TableView:
    """The table at the end, and one line that sums up."""

    def __init__(self, out: Output, *, is_dry_run: bool) -> None:
        self._out = out
        self._is_dry_run = is_dry_run

    def item(self, item: ReconcileItem) -> None:
        """Nothing yet."""

    def end(self, counts: ReconcileCounts, *, is_complete: bool) -> None:
        """Print the moves and the counts."""
        console = self._out.stdout
        if counts.number:
            print_plan(console, counts, is_done=not self._is_dry_run)
        words = _counted(counts)
        if not is_complete:
            of = f" of {counts.total}" if counts.total else ""
            console.print(f"broken off: {words} so far ({counts.summary.examined}{of} examined)", soft_wrap=True)
            return
        before = "would be: " if self._is_dry_run and counts.planned else ""
        console.print(f"{before}{words} ({counts.summary.examined} examined)", soft_wrap=True)


def _counted(counts: ReconcileCounts) -> str:
    summed = {**counts.summary.to_wire(), "changed meanwhile": counts.outcomes[ReconcileOutcome.CHANGED]}
    told = [f"{number} {word}" for word, number in summed.items() if number and word not in {"examined", "skipped"}]
    return ", ".join(told) or "nothing to do"


def print_plan(console: Console, counts: ReconcileCounts, *, is_done: bool) -> None:
    """Counts by class, then each move with its cause, cut at `SHOWN_MAX`; on a terminal the same cause once."""
    head = ", ".join(f"{number} {name}" for name, number in counts.classes.most_common()) or "nothing to reconcile"
    console.print(f"{head} ({counts.summary.examined} examined)", soft_wrap=True)
    shown = counts.shown
    if shown:
        console.print(_table(console, shown, is_done=is_done))
    if counts.number > len(shown):
        console.print(f"... and {counts.number - len(shown)} more")


def _table(console: Console, shown: Sequence[ReconcileItem], *, is_done: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ID", "FOUND", "OUTCOME" if is_done else "ACTION"):
        table.add_column(name, no_wrap=True)
    table.add_column("CAUSE", overflow="fold")
    above = ""
    for item in shown:
        cause = brief(item.cause, item.id)
        is_same = console.is_terminal and cause == above
        words = item.outcome if is_done else item.action
        table.add_row(item.id, item.found, words, DITTO if is_same else escape(fit(cause, CAUSE_MAX)))
        above = cause
    return table
