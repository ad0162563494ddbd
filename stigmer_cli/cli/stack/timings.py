"""Prints where the time of a start went, part by part, as bars."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from stigmer_cli.stack.start_timings import PartTimings

STEPS = ("spawn", "import", "listen", "ready")
STYLES = ("dim", "yellow", "blue", "green")
BLOCKS, LETTERS = "░▒▓█", ".-=#"
NAME, COLUMN = 11, 9
WIDTH_MAX = 80
"""Columns; a wider line says nothing more."""


def print_timings(console: Console, parts: Sequence[PartTimings]) -> None:
    """A line for each part: a bar of its four steps on a common scale, and the seconds of each."""
    marks = BLOCKS if "utf" in (console.encoding or "").lower() else LETTERS
    bar = max(0, min(console.width, WIDTH_MAX) - NAME - len(STEPS) * COLUMN)
    total_s = max((sum(part.steps) for part in parts), default=0.0)
    head = Text(" " * (NAME + bar))
    for name, mark, style in zip(STEPS, marks, STYLES, strict=True):
        head.append(f"{mark} {name}".rjust(COLUMN), style)
    console.print(head, soft_wrap=True)
    for part in parts:
        console.print(_line(part, marks, bar, total_s), soft_wrap=True)


def _line(part: PartTimings, marks: str, bar: int, total_s: float) -> Text:
    line = Text(f"{part.part:<{NAME}}")
    at_s, drawn = 0.0, 0
    for step_s, mark, style in zip(part.steps, marks, STYLES, strict=True):
        at_s += step_s
        until = round(bar * at_s / total_s) if total_s else 0
        line.append(mark * (until - drawn), style)
        drawn = until
    line.append(" " * (bar - drawn))
    for step_s in part.steps:
        line.append((f"{step_s:.2f} s" if step_s else "").rjust(COLUMN))
    return line
