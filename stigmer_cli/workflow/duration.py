"""Durations of the DSL: `{minutes: 5}`, or ISO 8601 (`PT5M`)."""

import re
from collections.abc import Mapping
from datetime import timedelta

from stigmer_cli.workflow.json_value import Json

ISO = re.compile(
    r"P(?!$)(?:(?P<years>\d+(?:\.\d+)?)Y)?(?:(?P<months>\d+(?:\.\d+)?)M)?(?:(?P<weeks>\d+(?:\.\d+)?)W)?"
    r"(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
DAYS = {"years": 365.0, "months": 30.0}
"""A calendar is not known: a year has 365 days, and a month 30."""

UNITS = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds")
MS_MAX = 100 * 365 * 24 * 3_600 * 1_000


def parse_duration(value: Json) -> int:
    """The duration in milliseconds, at most a hundred years; raises ValueError for what is none."""
    try:
        parts = _read_parts(value)
        days = sum(parts.pop(name, 0.0) * length for name, length in DAYS.items())
        length = timedelta(days=days) + timedelta(**parts)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"{value!r} is no duration") from error
    ms = round(length.total_seconds() * 1_000)
    if not 0 <= ms <= MS_MAX:
        raise ValueError(f"{value!r} is no duration of up to a hundred years")
    return ms


def _read_parts(value: Json) -> dict[str, float]:
    if isinstance(value, str) and (found := ISO.fullmatch(value)):
        return {name: float(number) for name, number in found.groupdict().items() if number}
    if isinstance(value, Mapping) and value and set(value) <= set(UNITS):
        return {name: _read_number(number) for name, number in value.items()}
    raise TypeError


def _read_number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)
