"""Shows a reconcile: item by item as JSON, or as a table of the first items, with the rest counted."""

import json
import textwrap
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.findings import ReconcileOutcome
from stigmer_cli.api.reconcile import ReconcileItem
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.execution_reason import drop_workflow_name
from stigmer_cli.cli.executions.list_tables import CAUSE_MAX
from stigmer_cli.cli.executions.reconcile_counts import ReconcileCounts
from stigmer_cli.cli.output import Format, Output, truncate_line

CAUSE_MIN = 16
DITTO = '"'


class View(Protocol):
    """Prints the items of a reconcile as they arrive, and its summary."""

    def item(self, item: ReconcileItem) -> None:
        """Take one execution: what was found, and what was done."""

    def end(self, counts: ReconcileCounts, *, is_complete: bool) -> None:
        """Print the summary; not `is_complete`: the reconcile was interrupted."""


def make_view(out: Output, *, is_dry_run: bool) -> View:
    """The view for the output format."""
    match out.format:
        case Format.TABLE:
            return TableView(out, is_dry_run=is_dry_run)
        case Format.JSON:
            return ObjectView(out, is_dry_run=is_dry_run)
        case Format.STREAM_JSON:
            return StreamView(out, is_dry_run=is_dry_run)


class StreamView:
    """One line of JSON per item, and one for the summary."""

    def __init__(self, out: Output, *, is_dry_run: bool) -> None:
        self._out = out
        self._is_dry_run = is_dry_run

    def item(self, item: ReconcileItem) -> None:
        """Write its line."""
        self._out.stream({"item": item.to_wire()})

    def end(self, counts: ReconcileCounts, *, is_complete: bool) -> None:
        """Write the summary."""
        self._out.stream_result(
            {"dryRun": self._is_dry_run, "summary": counts.summary.to_wire(), "complete": is_complete}
        )


class ObjectView:
    """One JSON object, written as items arrive, so that a large one is never in memory as a whole."""

    def __init__(self, out: Output, *, is_dry_run: bool) -> None:
        self._out = out
        self._is_dry_run = is_dry_run
        self._number = 0

    def item(self, item: ReconcileItem) -> None:
        """Write it as the next element of the list."""
        body = textwrap.indent(json.dumps(item.to_wire(), ensure_ascii=False, indent=2), "    ")
        self._out.raw(f"{',' if self._number else self._head()}\n{body}")
        self._number += 1

    def end(self, counts: ReconcileCounts, *, is_complete: bool) -> None:
        """Close the list and the object."""
        self._out.has_result = True
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
        """Print nothing yet."""

    def end(self, counts: ReconcileCounts, *, is_complete: bool) -> None:
        """Print the moves and the counts."""
        console = self._out.stdout
        if counts.number:
            print_plan(console, counts, is_done=not self._is_dry_run)
        words = _format_counts(counts)
        if not is_complete:
            of = f" of {counts.total}" if counts.total else ""
            console.print(f"broken off: {words} so far ({counts.summary.examined}{of} examined)", soft_wrap=True)
            return
        before = "would be: " if self._is_dry_run and counts.planned else ""
        console.print(f"{before}{words} ({counts.summary.examined} examined)", soft_wrap=True)


def _format_counts(counts: ReconcileCounts) -> str:
    summed = {**counts.summary.to_wire(), "changed meanwhile": counts.outcomes[ReconcileOutcome.CHANGED]}
    told = [f"{number} {word}" for word, number in summed.items() if number and word not in {"examined", "skipped"}]
    return ", ".join(told) or "nothing to do"


def print_plan(console: Console, counts: ReconcileCounts, *, is_done: bool) -> None:
    """Print counts by class, then up to `SHOWN_MAX` items with their cause; on a terminal, a repeated cause once."""
    head = ", ".join(f"{number} {name}" for name, number in counts.classes.most_common()) or "nothing to reconcile"
    console.print(f"{head} ({counts.summary.examined} examined)", soft_wrap=True)
    shown = counts.shown
    if shown:
        _print_items(console, shown, is_done=is_done)
    if counts.number > len(shown):
        console.print(f"... and {counts.number - len(shown)} more")


def _print_items(console: Console, shown: Sequence[ReconcileItem], *, is_done: bool) -> None:
    columns = (
        Column(name="ID", rank=0),
        Column(name="FOUND", rank=1),
        Column(name="OUTCOME" if is_done else "ACTION", rank=2),
        Column(name="CAUSE", rank=3, width_min=CAUSE_MIN, is_folded=True),
    )
    rows, above = [], ""
    for item in shown:
        cause = truncate_line(drop_workflow_name(item.cause, item.id), CAUSE_MAX)
        is_same = console.is_terminal and cause == above
        words = item.outcome if is_done else item.action
        rows.append((Text(item.id), Text(item.found), Text(words), Text(DITTO if is_same else cause)))
        above = cause
    print_table(console, columns, rows)
