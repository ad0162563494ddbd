"""Schedules: what a document may say, and the times that follow from it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any

import pytest

from stigmer_cli.domain.event import EventQuery
from stigmer_cli.workflow.schedule import MISSED_MAX, Schedule, Trigger, read_schedules

needs_cron = pytest.mark.skipif(find_spec("cronsim") is None, reason="cronsim is missing: install the lock file")
START = datetime(2026, 3, 27, 12, 0, tzinfo=UTC)


def document(schedule: Mapping[str, Any], zone: str | None = None) -> Any:
    about: dict[str, Any] = {"name": "w"} | ({"metadata": {"timezone": zone}} if zone else {})
    return {"document": about, "schedule": schedule}


def read(schedule: Mapping[str, Any], zone: str | None = None) -> Schedule:
    [found] = read_schedules(document(schedule, zone), now=START)
    return found


def times(one: Schedule, number: int, *, after: datetime = START) -> list[str]:
    found = []
    for _ in range(number):
        at = one.find_next(after, anchor=START)
        assert at is not None
        found.append(at.strftime("%d %H:%M:%S"))
        after = at
    return found


def test_an_interval_is_counted_from_when_the_schedule_began_whatever_is_late() -> None:
    every = read({"every": {"minutes": 20}})
    assert times(every, 2) == ["27 12:20:00", "27 12:40:00"]
    assert times(every, 2, after=START + timedelta(minutes=41)) == ["27 13:00:00", "27 13:20:00"]
    assert times(read({"every": "PT0.5H"}), 1, after=START + timedelta(days=1000)) == ["21 12:30:00"]


@needs_cron
def test_cron_is_in_the_time_zone_of_the_document_also_where_clocks_are_changed() -> None:
    assert times(read({"cron": "30 8 * * 1-5"}), 2) == ["30 08:30:00", "31 08:30:00"]
    berlin = read({"cron": "30 8 * * *"}, "Europe/Berlin")
    assert times(berlin, 3) == ["28 07:30:00", "29 06:30:00", "30 06:30:00"], "summer time begins on the 29th"
    assert times(read({"cron": "30 2 * * *"}, "Europe/Berlin"), 3) == ["28 01:30:00", "29 01:00:00", "30 00:30:00"], (
        "what falls into the hour that is left out runs once, at its end"
    )
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    twice = times(read({"cron": "30 2 * * *"}, "Europe/Berlin"), 2, after=autumn)
    assert twice == ["25 00:30:00", "26 01:30:00"], "what falls into the hour that comes twice runs once"
    often = read({"cron": "*/10 * * * *"}, "Europe/Berlin")
    repeated = times(often, 12, after=datetime(2026, 10, 24, 23, 55, tzinfo=UTC))
    assert repeated == [f"25 0{hour}:{minute}0:00" for hour in (0, 1) for minute in range(6)], "both times"


@pytest.mark.parametrize(
    ("schedule", "zone", "words"),
    [
        pytest.param({"cron": "61 * * * *"}, None, "'61 \\* .*' is no cron expression", marks=needs_cron),
        pytest.param({"cron": "soon"}, None, "'soon' is no cron expression", marks=needs_cron),
        pytest.param({"cron": "0 0 31 2 *"}, None, "'0 0 31 2 \\*' is", marks=needs_cron),
        ({"cron": "0 0 * * *"}, "Mars/Base", "there is no time zone 'Mars/Base'"),
        ({"cron": "0 0 * * *"}, "../../etc/passwd", "there is no time zone"),
        ({"every": {"milliseconds": 10}}, None, "one second is the least"),
        ({"on": {"all": []}}, None, "schedule.on takes"),
        ({"on": {"any": [], "until": "true"}}, None, "schedule.on takes"),
        ({"on": {"one": {"with": {"type": "a", "data": "${ .x }"}}}}, None, "schedule.on takes"),
        ({"on": {"one": {"with": {"type": "a"}, "correlate": {"x": {"from": ".a"}}}}}, None, "schedule.on takes"),
    ],
)
def test_what_can_never_run_is_refused_in_words(schedule: Mapping[str, Any], zone: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_schedules(document(schedule, zone), now=START)


def test_events_that_start_a_workflow_are_chosen_by_equality() -> None:
    on = read({"on": {"any": [{"with": {"type": "a", "subject": "s", "data": {"n": 5}}}, {"with": {"type": "b"}}]}})
    assert list(on.list_queries()) == [
        EventQuery(type="a", subject="s", equals=((("data", "n"), "5"),)),
        EventQuery(type="b"),
    ]
    assert (on.find_next(START, anchor=START), on.text) == (None, "on a, b")
    assert read({"on": {"any": []}}).list_queries() == [EventQuery()]


@needs_cron
def test_an_hourly_time_runs_each_hour_also_in_the_hour_that_comes_twice() -> None:
    hourly = read({"cron": "0 * * * *"}, "America/Los_Angeles")
    after = datetime(2026, 11, 1, 7, 30, tzinfo=UTC)
    assert times(hourly, 4, after=after) == ["01 08:00:00", "01 09:00:00", "01 10:00:00", "01 11:00:00"]


@needs_cron
def test_missed_times_are_counted_but_not_for_ever() -> None:
    every, cron = read({"every": {"seconds": 10}}), read({"cron": "* * * * *"})
    first = START + timedelta(seconds=10)
    assert len(every.list_due(first, first, anchor=START)) == 1
    assert every.list_due(first, START + timedelta(seconds=35), anchor=START)[-1] == START + timedelta(seconds=30)
    late = START + timedelta(days=900)
    assert [len(one.list_due(first, late, anchor=START)) for one in (every, cron)] == [MISSED_MAX + 1] * 2


def test_a_document_may_have_several_triggers() -> None:
    found = read_schedules(document({"every": {"hours": 1}, "after": "PT5S", "on": {"any": []}}), now=START)
    assert [(one.trigger, one.text) for one in found] == [
        (Trigger.EVERY, "every 1h"),
        (Trigger.AFTER, "after 5s"),
        (Trigger.ON, "on any event"),
    ]
    assert read_schedules({"document": {}}, now=START) == []


@pytest.mark.parametrize(
    "schedule",
    [{"every": {"seconds": 1}}, pytest.param({"cron": "* * * * *"}, marks=needs_cron)],
)
def test_of_many_missed_times_the_last_one_counts(schedule: Mapping[str, Any]) -> None:
    one = read(schedule)
    first = one.find_next(START, anchor=START)
    assert first is not None
    now = START + timedelta(days=30, seconds=0.5)
    due = one.list_due(first, now, anchor=START)
    assert (due[-1], len(due)) == (START + timedelta(days=30), MISSED_MAX + 1)
