"""How the timeline of an execution becomes spans of time, and those become bars."""

import io
from collections.abc import Sequence
from datetime import timedelta

import pytest
from rich.console import Console

from stigmer_cli.api.resources import EventBody
from stigmer_cli.cli.executions.spans import Span, draw_bars, find_spans, print_spans
from stigmer_cli.domain.execution import EventType
from tests.support.fakes import START


def timeline(*events: tuple[EventType, float]) -> Sequence[EventBody]:
    return [
        EventBody(seq=seq, at=START + timedelta(seconds=at_s), type=kind, text="")
        for seq, (kind, at_s) in enumerate(events, 1)
    ]


ANSWERED = timeline(
    (EventType.ACCEPTED, 0.0),
    (EventType.SUBMITTED, 1.0),
    (EventType.CLAIMED, 3.0),
    (EventType.MESSAGE, 7.0),
    (EventType.MESSAGE, 7.5),
    (EventType.COMPLETED, 8.0),
)
NOW = START + timedelta(seconds=20)


def test_each_span_ends_where_the_next_begins() -> None:
    assert [(span.name, span.seconds, span.is_open) for span in find_spans(ANSWERED, NOW)] == [
        ("queued", 1.0, False),
        ("waiting for a runner", 2.0, False),
        ("waiting for the model", 4.0, False),
        ("answering", 1.0, False),
    ]


@pytest.mark.parametrize(
    ("events", "names"),
    [
        (ANSWERED[:1], ["queued"]),
        (ANSWERED[:3], ["queued", "waiting for a runner", "waiting for the model"]),
        (timeline((EventType.ACCEPTED, 0), (EventType.QUEUED, 5)), ["queued"]),  # a failed submit: it still waits
        (timeline((EventType.CLAIMED, 0), (EventType.ATTENTION, 5)), ["waiting for the model", "needs attention"]),
    ],
)
def test_the_last_span_of_an_open_execution_lasts_until_now(events: Sequence[EventBody], names: list[str]) -> None:
    spans = find_spans(events, NOW)
    assert [span.name for span in spans] == names
    assert (spans[-1].is_open, spans[-1].until) == (True, NOW)
    assert spans[-1].to_json()["until"] is None


def test_no_events_are_no_spans() -> None:
    assert find_spans([], NOW) == []


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    back = timeline((EventType.ACCEPTED, 10), (EventType.SUBMITTED, 4), (EventType.COMPLETED, 5))
    spans = find_spans(back, NOW)
    assert [span.seconds for span in spans] == [0.0, 1.0]
    assert all(draw_bars(spans, 10))


@pytest.mark.parametrize("width", [1, 2, 3, 10, 40])
def test_bars_are_to_scale_and_never_empty_and_never_too_long(width: int) -> None:
    bars = draw_bars(find_spans(ANSWERED, NOW), width)
    assert all(bar.strip() and len(bar) <= width for bar in bars)
    if width == 40:
        assert [len(bar.strip()) for bar in bars] == [5, 10, 20, 5]
        assert [len(bar) for bar in bars] == [5, 15, 35, 40]


def test_nothing_but_ascii_is_printed_where_the_terminal_takes_nothing_else() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii", write_through=True), width=80)
    print_spans(console, [Span(name="queued", since=START, until=NOW, is_open=True)])
    assert raw.getvalue().decode().splitlines() == ["time:", f"  queued      20s+  {'=' * 40}"]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal_gets_shorter_bars(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    print_spans(console, find_spans(ANSWERED, NOW))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 5
    assert max(map(len, lines)) <= max(width, 34)


def test_a_busy_model_is_one_span_however_often_it_is_asked() -> None:
    busy = timeline(
        (EventType.ACCEPTED, 0),
        (EventType.CLAIMED, 1),
        (EventType.MODEL_BUSY, 2),
        (EventType.ATTEMPT, 3),
        (EventType.MODEL_BUSY, 4),
        (EventType.ATTEMPT, 9),
        (EventType.MESSAGE, 10),
        (EventType.COMPLETED, 11),
    )
    spans = [(one.name, one.seconds) for one in find_spans(busy, NOW)]
    assert spans == [("queued", 1.0), ("waiting for the model", 1.0), ("model busy", 8.0), ("answering", 1.0)]
