"""Spans and moments as every screen tells them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from stigmer_cli.time_format import (
    ago,
    day_and_time,
    parse_moment,
    parse_span,
    span,
    time_and_zone,
    time_beside,
    time_of_day,
)

AT = datetime(2026, 5, 4, 12, 3, 11, tzinfo=UTC)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-3.0, "0s"), (0.0, "0s"), (0.01, "0.01s"), (0.4, "0.4s"), (0.05, "0.05s"),
        (0.96, "0.96s"), (0.00001, "0s"), (1.84, "1.8s"), (2.0, "2s"),
        (9.94, "9.9s"), (9.99, "10s"), (10.4, "10s"), (59.4, "59s"), (59.6, "1m"), (80.0, "1m 20s"), (3599.6, "1h"),
        (3600.0, "1h"), (3605.0, "1h"), (11_100.0, "3h 5m"), (86_400.0, "1d"), (86_460.0, "1d"), (180_000.0, "2d 2h"),
    ],
)  # fmt: skip
def test_a_span_is_written_in_its_two_largest_units(seconds: float, told: str) -> None:
    assert span(seconds) == told


def test_an_age_has_no_tenths_and_is_never_below_nothing() -> None:
    assert [ago(AT - timedelta(seconds=s), AT) for s in (-1.0, 4.9, 83.9)] == ["0s", "4s", "1m 23s"]


def test_a_moment_is_written_in_local_time() -> None:
    assert (time_of_day(AT), time_and_zone(AT), day_and_time(AT)) == (
        "14:03:11",
        "14:03:11 CEST",
        "2026-05-04 14:03 CEST",
    )


WORDS = [("10 min", 600), ("1 hour 30 minutes", 5400), ("2 days", 172_800), ("3 weeks", 1_814_400), ("5 secs", 5)]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("45", 45), ("1.5m", 90), *WORDS]
)
def test_spans_of_time_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10x", "10m later", "-5s", "2 months", "1 mo", "1 minh", "3 fortnights"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a span of time"):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-05-04T14:03:11+02:00"), ("10m", "2026-05-04T13:53:11+02:00"),
        ("2h ago", "2026-05-04T12:03:11+02:00"), ("2 hours ago", "2026-05-04T12:03:11+02:00"),
        ("600", "2026-05-04T13:53:11+02:00"),
        ("today", "2026-05-04T00:00:00+02:00"), ("Yesterday", "2026-05-03T00:00:00+02:00"),
        ("yesterday 9:15", "2026-05-03T09:15:00+02:00"), ("14:03", "2026-05-04T14:03:00+02:00"),
        ("14:04", "2026-05-03T14:04:00+02:00"), ("9:05:07", "2026-05-04T09:05:07+02:00"),
        ("12:03Z", "2026-05-04T14:03:00+02:00"), ("13:00Z", "2026-05-03T15:00:00+02:00"),
        ("2026-01-05", "2026-01-05T00:00:00+01:00"), ("2026-01-05 14:30", "2026-01-05T14:30:00+01:00"),
        ("2026-07-05T14:30", "2026-07-05T14:30:00+02:00"), ("2026-01-05T14:30:00Z", "2026-01-05T15:30:00+01:00"),
        ("2026-01-05t14:30:00.250+0530", "2026-01-05T10:00:00.250+01:00"),
        ("2026-01-05T14:30:00.123456789Z", "2026-01-05T15:30:00.123456+01:00"),
        ("2027-01-01", "2027-01-01T00:00:00+01:00"),
    ],
)  # fmt: skip
def test_a_time_is_read_as_people_say_it(text: str, moment: str) -> None:
    assert parse_moment(text, AT) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        ("2026-10-25T02:45:00+02:00", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:15:00+01:00", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:45:00+01:00", "2026-10-25T02:30:00+01:00"),
        ("2026-10-25T14:00:00+01:00", "2026-10-25T02:30:00+01:00"),
        ("2026-10-26T01:00:00+01:00", "2026-10-25T02:30:00+01:00"),
    ],
)
def test_of_an_hour_that_comes_twice_the_last_one_is_meant(now: str, moment: str) -> None:
    assert parse_moment("02:30", datetime.fromisoformat(now)) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "2026-02-30", "25:00", "14:60", "-5m", "2026-01-05T", "2026-01-05Z", "99999999d", "1/2"],
)
def test_what_is_no_time_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: "):
        parse_moment(text, AT)


def test_the_day_is_told_of_what_is_a_day_away() -> None:
    assert time_beside(AT, AT + timedelta(hours=23)) == "14:03:11 CEST"
    assert (
        time_beside(AT, AT + timedelta(hours=24)) == time_beside(AT, AT - timedelta(days=3)) == "2026-05-04 14:03 CEST"
    )
