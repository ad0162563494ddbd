"""Spans and moments as every screen tells them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from stigmer_cli.time_format import ago, day_and_time, span, time_and_zone, time_of_day

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
