"""How long, and when, as people read it: the same on every screen."""

import re
from datetime import datetime

SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>s|m|h|d|w)\s*")
SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}

UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))
FINE_BELOW_S = 10.0
"""A shorter span is told in two digits, for half a second more or less matters there."""


def span(seconds: float) -> str:
    """`seconds` in its two largest units: `0.4s`, `12s`, `1m 20s`, `3h 5m`, `2d`; below nothing is `0s`."""
    if seconds < FINE_BELOW_S:
        return f"{round(max(seconds, 0.0), 3):.2g}s"
    left = round(seconds)
    parts = []
    for size, unit in (*UNITS, (1, "s")):
        number, left = divmod(left, size)
        parts.append(f"{number}{unit}" if number else "")
    first = next(place for place, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


def parse_span(text: str) -> float:
    """`90s`, `10m`, `1h30m`, `2d`, `1w` or a bare number of seconds, in seconds; raises ValueError with a sentence."""
    whole = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", whole):
        return float(whole)
    found = list(SPAN.finditer(whole))
    if not found or "".join(match[0] for match in found) != whole:
        raise ValueError(f"{text!r} is not a span of time: write 90s, 10m, 1h30m or 2d")
    return sum(float(match["number"]) * SECONDS[match["unit"]] for match in found)


def ago(moment: datetime, now: datetime) -> str:
    """How long ago `moment` was, in whole seconds; `0s` for what lies ahead."""
    return span(int(max(0.0, (now - moment).total_seconds())))


def time_of_day(at: datetime) -> str:
    """The time of day here, as people compare it with their own clock: `14:03:11`."""
    return f"{at.astimezone():%H:%M:%S}"


def time_and_zone(at: datetime) -> str:
    """The time of day here, for who may read it elsewhere: `14:03:11 CEST`."""
    return f"{at.astimezone():%H:%M:%S %Z}"


def day_and_time(at: datetime) -> str:
    """The day and the minute here: `2026-05-04 14:03 CEST`."""
    return f"{at.astimezone():%Y-%m-%d %H:%M %Z}"
