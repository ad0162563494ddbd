"""What a reconcile tells, however much it is: golden tables, JSON written while it comes, a tally that stays small."""

import io
import json
import tracemalloc
from collections.abc import Iterator

import pytest
from rich.console import Console

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileProgress, ReconcileSummary
from stigmer_cli.cli.execution_reason import drop_workflow_name
from stigmer_cli.cli.executions.reconcile_counts import ReconcileCounts
from stigmer_cli.cli.executions.reconcile_view import make_view, print_plan
from stigmer_cli.cli.output import Format, Output
from stigmer_cli.domain.phase import Phase

GONE = "Temporal has no workflow stigmer/agent-execution/invoke/{id}, and no run ever had an effect"
MANY = 4_000
GOLDEN_80 = """\
2 orphan, 1 behind (3 examined)
ID                              FOUND   ACTION    CAUSE
aex-00000000000000000000000000  orphan  resubmit  Temporal has no workflow, and
                                                  no run ever had an effect
aex-00000000000000000000000001  orphan  resubmit  Temporal has no workflow, and
                                                  no run ever had an effect
aex-00000000000000000000000002  behind  repair    [red]boom[/red]
"""
GOLDEN_120 = """\
2 orphan, 1 behind (3 examined)
ID                              FOUND   ACTION    CAUSE
aex-00000000000000000000000000  orphan  resubmit  Temporal has no workflow, and no run ever had an effect
aex-00000000000000000000000001  orphan  resubmit  Temporal has no workflow, and no run ever had an effect
aex-00000000000000000000000002  behind  repair    [red]boom[/red]
"""


def _item(
    number: int,
    outcome: str = "resubmitted",
    *,
    found: str = "orphan",
    action: str = "resubmit",
    cause: str = GONE,
) -> ReconcileItem:
    name = f"aex-{number:026d}"
    return ReconcileItem(
        id=name, phase=Phase.PENDING, found=found, action=action, cause=cause.format(id=name), outcome=outcome
    )


def _plan() -> ReconcileCounts:
    counts = ReconcileCounts()
    for number in range(2):
        counts.add(_item(number, "planned"))
    counts.add(_item(2, "planned", found="behind", action="repair", cause="[red]bo\x1b[2Jom[/red]"))
    counts.add(ReconcileSummary(examined=3, resubmitted=2, repaired=1))
    return counts


def _printed(counts: ReconcileCounts, width: int, *, has_colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=has_colour, color_system="standard" if has_colour else None
    )
    print_plan(console, counts, is_done=False)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.parametrize(("width", "golden"), [(80, GOLDEN_80), (120, GOLDEN_120)])
def test_the_preview_wraps_the_cause_and_cuts_nothing_off(width: int, golden: str) -> None:
    assert _printed(_plan(), width) == golden


def test_on_a_terminal_the_same_cause_is_written_once() -> None:
    lines = _printed(_plan(), 120, has_colour=True).splitlines()
    assert lines[1].startswith("\x1b[1mID")
    assert [line.split("  ")[-1].strip() for line in lines[2:5]] == [
        "Temporal has no workflow, and no run ever had an effect",
        '"',
        "[red]boom[/red]",
    ]


def test_the_preview_is_cut_at_twenty_and_the_rest_counted() -> None:
    counts = ReconcileCounts()
    for number in range(500):
        counts.add(_item(number, "planned"))
    lines = _printed(counts, 120).splitlines()
    assert lines[0] == "500 orphan (500 examined)"
    assert len(lines) == 23
    assert lines[-1] == "... and 480 more"


def test_what_did_not_go_as_planned_is_shown_however_late_it_comes() -> None:
    counts = ReconcileCounts()
    for number in range(100):
        counts.add(_item(number))
    counts.add(_item(100, "failed"))
    counts.add(_item(101, "skipped: changed"))
    assert [item.outcome for item in counts.shown[:3]] == ["failed", "skipped: changed", "resubmitted"]
    assert len(counts.shown) == 20
    assert counts.changed == ["aex-00000000000000000000000101"]


def test_what_was_reported_before_the_break_is_summed_up_without_the_server() -> None:
    counts = ReconcileCounts()
    counts.add(ReconcileProgress(examined=0, total=90))
    for number in range(3):
        counts.add(_item(number))
    counts.add(_item(3, "failed"))
    counts.add(ReconcileProgress(examined=25, total=90))
    assert counts.summary == ReconcileSummary(examined=25, resubmitted=3, skipped=21, failed=1)
    assert counts.left_over


def test_a_second_try_keeps_what_was_done_and_repeats_the_rest() -> None:
    counts = ReconcileCounts()
    counts.add(_item(0))
    counts.add(_item(1, "failed"))
    counts.begin_again()
    counts.add(_item(1))
    counts.add(ReconcileSummary(examined=2, resubmitted=1, skipped=1))
    assert counts.summary == ReconcileSummary(examined=2, resubmitted=2, skipped=1)
    assert not counts.left_over
    assert counts.classes == {"orphan": 2}


def test_a_second_try_that_gets_no_answer_leaves_the_counts_of_the_first() -> None:
    counts = ReconcileCounts()
    counts.add(_item(0))
    counts.add(_item(1, "failed"))
    for _ in range(3):
        counts.begin_again()
        assert not counts.has_items
    assert counts.summary == ReconcileSummary(examined=2, resubmitted=1, failed=1)
    counts.add(_item(1))
    assert counts.has_items
    assert counts.summary == ReconcileSummary(examined=1, resubmitted=2)


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("is_complete", [True, False])
def test_the_object_written_while_it_comes_is_the_object(
    number: int, *, is_complete: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    counts, view = ReconcileCounts(), make_view(Output(Format.JSON), is_dry_run=False)
    items = [_item(n) for n in range(number)]
    for item in items:
        counts.add(item)
        view.item(item)
    counts.add(ReconcileSummary(examined=number, resubmitted=number))
    view.end(counts, is_complete=is_complete)
    written = capsys.readouterr().out
    whole = {
        "dryRun": False,
        "items": [item.to_wire() for item in items],
        "summary": {
            "examined": number,
            "resubmitted": number,
            "repaired": 0,
            "attention": 0,
            "skipped": 0,
            "failed": 0,
        },
        "complete": is_complete,
    }
    assert written == json.dumps(whole, indent=2) + "\n"


def test_a_table_that_was_broken_off_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    counts, view = ReconcileCounts(), make_view(Output(Format.TABLE), is_dry_run=False)
    counts.add(ReconcileProgress(examined=0, total=90))
    counts.add(_item(0))
    counts.add(ReconcileProgress(examined=25, total=90))
    view.end(counts, is_complete=False)
    assert capsys.readouterr().out.splitlines()[-1] == "broken off: 1 resubmitted so far (25 of 90 examined)"


@pytest.mark.parametrize(
    ("cause", "shown"),
    [
        (GONE.format(id="aex-1"), "Temporal has no workflow, and no run ever had an effect"),
        ("Temporal has no workflow stigmer/agent-execution/invoke/aex-1/2, and so", "Temporal has no workflow, and so"),
        ("the run failed in Temporal: /tmp/aex-9/2 is full", "the run failed in Temporal: /tmp/aex-9/2 is full"),
    ],
)
def test_a_cause_beside_its_id_does_not_repeat_it(cause: str, shown: str) -> None:
    assert drop_workflow_name(cause, "aex-1") == shown


def _many() -> Iterator[ReconcileItem | ReconcileProgress]:
    for number in range(MANY):
        yield _item(number, "skipped: changed" if number % 2 else "failed")
        yield ReconcileProgress(examined=number, total=MANY)


@pytest.mark.parametrize("output", [Format.TABLE, Format.STREAM_JSON, Format.JSON])
def test_memory_stays_flat_however_many_come(output: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sink(io.TextIOBase):
        def write(self, text: str, /) -> int:
            return len(text)

    monkeypatch.setattr("sys.stdout", Sink())
    counts, view = ReconcileCounts(), make_view(Output(output), is_dry_run=False)
    tracemalloc.start()
    try:
        for found in _many():
            counts.add(found)
            if isinstance(found, ReconcileItem):
                view.item(found)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000, "only ids of what changed are kept, up to a limit"
