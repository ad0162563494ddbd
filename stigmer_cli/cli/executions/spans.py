"""How an execution spent its time: the spans between the events of its timeline, with a bar for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.resources import EventBody
from stigmer_cli.clock import iso
from stigmer_cli.domain.execution import EventType
from stigmer_cli.time_format import span

BAR_MAX = 40
"""Columns of the bar of the whole time, where the terminal is wide enough."""

BAR, BAR_ASCII = "━", "="

MODEL_BUSY = "model busy"
NAMES: Mapping[EventType, str] = {
    EventType.ACCEPTED: "queued",
    EventType.QUEUED: "queued",
    EventType.ORPHANED: "queued",
    EventType.STARTED_OVER: "queued",
    EventType.RESUMED: "queued",
    EventType.SUBMITTED: "waiting for a runner",
    EventType.CLAIMED: "waiting for the model",
    EventType.ATTEMPT: "waiting for the model",
    EventType.MODEL_BUSY: MODEL_BUSY,
    EventType.MESSAGE: "answering",
    EventType.ATTENTION: "needs attention",
    EventType.WAITING: "waiting",
    EventType.CANCEL_REQUESTED: "ending",
}
"""What begins with an event; other events, except for the last, change nothing."""

WORKING = "performing tasks"
AT_WORK = frozenset({EventType.CLAIMED, EventType.ATTEMPT})
"""What begins the span `WORKING` of a workflow."""

ENDS = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})

STYLES: Mapping[str, str] = {
    "queued": "yellow",
    MODEL_BUSY: "yellow",
    "waiting": "yellow",
    "needs attention": "red",
    "answering": "green",
}
STYLE = "cyan"


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span of time; `is_open`: it had not ended at `until`, which is the time of the observation."""

    name: str
    since: datetime
    until: datetime
    is_open: bool = False

    @property
    def seconds(self) -> float:
        """How long it took; 0.0 if the clock was set back in between."""
        return max(0.0, (self.until - self.since).total_seconds())

    def to_json(self) -> dict[str, object]:
        """The JSON object; `until` is null while it has not ended."""
        return {
            "name": self.name,
            "since": iso(self.since),
            "until": None if self.is_open else iso(self.until),
            "seconds": round(self.seconds, 3),
        }


def find_spans(events: Sequence[EventBody], now: datetime, *, is_workflow: bool = False) -> Sequence[Span]:
    """What `events`, oldest first, say about how the time was spent; the last span is open without an end."""
    begun: list[tuple[str, datetime]] = []
    for event in events:
        if event.type in ENDS:
            return _close(begun, event.at, is_open=False)
        name = WORKING if is_workflow and event.type in AT_WORK else NAMES.get(event.type)
        if begun and begun[-1][0] == MODEL_BUSY and event.type is EventType.ATTEMPT:
            continue  # it is asked again, for a moment: there may be dozens of these
        if name and (not begun or begun[-1][0] != name):
            begun.append((name, event.at))
    return _close(begun, now, is_open=True)


def _close(begun: Sequence[tuple[str, datetime]], end: datetime, *, is_open: bool) -> Sequence[Span]:
    ends = [since for _name, since in begun[1:]] + [end] if begun else []
    return [
        Span(name=name, since=since, until=until, is_open=is_open and number == len(begun))
        for number, ((name, since), until) in enumerate(zip(begun, ends, strict=True), 1)
    ]


def print_spans(console: Console, spans: Sequence[Span]) -> None:
    """Print a line for each: its name, how long it took, and where it lies in the whole time."""
    if not spans:
        return
    console.print("[bold]time:[/]")
    widest = max(len(one.name) for one in spans)
    width = min(BAR_MAX, console.width - widest - 14)
    bars = draw_bars(spans, width, is_ascii=console.options.ascii_only)
    for one, bar in zip(spans, bars, strict=True):
        taken = span(one.seconds) + ("+" if one.is_open else "")
        head = f"  {one.name:<{widest}}  {taken:>8}"
        console.print(Text.assemble(head, "  " if bar else "", (bar, STYLES.get(one.name, STYLE))), soft_wrap=True)


def draw_bars(spans: Sequence[Span], width: int, *, is_ascii: bool = False) -> Sequence[str]:
    """A bar for each within `width` columns, to scale, and at least one column wide; all empty below one column."""
    mark = BAR_ASCII if is_ascii else BAR
    whole = sum(one.seconds for one in spans) or 1.0
    bars, passed = [], 0.0
    for one in spans:
        begin = min(int(passed / whole * width), width - 1)
        passed += one.seconds
        end = max(begin + 1, round(passed / whole * width))
        bars.append(" " * begin + mark * (end - begin) if width > 0 else "")
    return bars
