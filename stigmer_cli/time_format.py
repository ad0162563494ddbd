"""How long, and when, as people read it: the same on every screen."""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

SPAN = re.compile(
    r"""(?P<number>\d+(?:\.\d+)?)\ ?
        (?P<unit>s|m|h|d|w)(?:(?<=s)ec(?:ond)?s?|(?<=m)in(?:ute)?s?|(?<=h)(?:ou)?rs?|(?<=d)ays?|(?<=w)eeks?)?(?![a-z])\s*""",
    re.VERBOSE,
)
SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}

AGO = re.compile(r"\s+ago$", re.IGNORECASE)
MOMENT = re.compile(
    r"""(?P<day> today | yesterday | \d{4}-\d{2}-\d{2} )?
        (?(day) (?: (?:[ ]+|T) (?=\d) )? )
        (?: (?P<time> \d{1,2}:\d{2} (?: :\d{2} (?:\.\d{1,9})? )? ) [ ]? (?P<zone> Z | [+-]\d{2}:?\d{2} )? )?""",
    re.VERBOSE | re.IGNORECASE,
)
MOMENTS = "10m, 2h, yesterday, 14:30, 2026-11-25, '2026-11-25 14:30' or 2026-11-25T14:30:00Z"
"""Examples of what `parse_moment` takes."""

A_DAY = timedelta(days=1)
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
    """`90s`, `10m`, `1h30m`, `2d`, `3 weeks` or a bare number of seconds, in seconds; raises ValueError."""
    whole = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", whole):
        return float(whole)
    found = list(SPAN.finditer(whole))
    if not found or "".join(match[0] for match in found) != whole:
        raise ValueError(f"{text!r} is not a span of time: write 90s, 10m, 1h30m or 2d")
    return sum(float(match["number"]) * SECONDS[match["unit"]] for match in found)


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment that `text` names, as people say it, seen from `now`; both are aware.

    A span (`10m`, `2h ago`) is so long ago. A day alone (`today`, `yesterday`, `2026-11-25`) is its midnight. A time
    alone (`14:30`) is the last time that it was so late. `2026-11-25 14:30` may have a `T` and a zone (`Z`, `+01:00`);
    without one it is local time. Raises ValueError with a sentence.
    """
    whole = text.strip()
    if whole.lower() == "now":
        return now
    found = MOMENT.fullmatch(whole)
    if not whole or found is None:
        try:
            return now - timedelta(seconds=parse_span(AGO.sub("", whole)))
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is no time: write {MOMENTS}") from None
    try:
        return _moment_of(found, now)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: {error}") from None


def _moment_of(found: "re.Match[str]", now: datetime) -> datetime:
    zone = found["zone"]
    today = (now.astimezone() if zone is None else now.astimezone(_zone_of(zone))).date()
    told = found["time"] or "00:00"
    at = time.fromisoformat(told if told[2] == ":" else f"0{told}")
    word = (found["day"] or "today").lower()
    day = {"today": today, "yesterday": today - timedelta(days=1)}.get(word) or date.fromisoformat(word)
    return _at(day, at, zone) if found["day"] else _find_last(day, at, zone, now)


def _find_last(today: date, at: time, zone: str | None, now: datetime) -> datetime:
    """The last moment up to `now` at which it was `at`. An hour comes twice where clocks are set back."""
    days = (today, today - timedelta(days=1))
    return max(found for day in days for fold in (0, 1) if (found := _at(day, at.replace(fold=fold), zone)) <= now)


def _at(day: date, at: time, zone: str | None) -> datetime:
    moment = datetime.combine(day, at, tzinfo=None if zone is None else _zone_of(zone))
    return moment.astimezone() if zone is None else moment


def _zone_of(zone: str) -> tzinfo:
    parsed = datetime.strptime(zone.upper(), "%z").tzinfo
    return parsed or UTC


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


def time_beside(at: datetime, other: datetime) -> str:
    """`at` here: the time of day, or day and minute where `other` is a day away or more."""
    return day_and_time(at) if abs(at - other) >= A_DAY else time_and_zone(at)
