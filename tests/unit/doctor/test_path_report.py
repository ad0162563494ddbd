"""How the events of a test execution become hops, and what a report of them says."""

from datetime import UTC, datetime, timedelta

import pytest

from stigmer_cli.api.resources import EventBody
from stigmer_cli.doctor.path_report import Hop, PathReport, Stop, find_next_hop, measure_hops
from stigmer_cli.doctor.report import Verdict
from stigmer_cli.domain.execution import EventType

SENT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
WHOLE = {
    EventType.ACCEPTED: 10,
    EventType.SUBMITTED: 30,
    EventType.CLAIMED: 60,
    EventType.MESSAGE: 100,
    EventType.COMPLETED: 150,
}


def at(milliseconds: int) -> datetime:
    return SENT + timedelta(milliseconds=milliseconds)


def timeline(moments: dict[EventType, int]) -> list[EventBody]:
    return [
        EventBody(seq=number, at=at(moment), type=kind, text="")
        for number, (kind, moment) in enumerate(moments.items(), 1)
    ]


def took_ms(moments: dict[EventType, int], seen: int | None = None) -> dict[Hop, int]:
    times = measure_hops(timeline(moments), sent_at=SENT, seen_at=None if seen is None else at(seen))
    return {one.hop: round(one.took_s * 1000) for one in times}


def test_each_hop_takes_the_time_since_the_one_before() -> None:
    assert took_ms(WHOLE, seen=210) == {
        Hop.ACCEPTED: 10,
        Hop.STARTED: 20,
        Hop.CLAIMED: 30,
        Hop.BEGUN: 40,
        Hop.FINISHED: 50,
        Hop.SEEN: 60,
    }


def test_a_claim_that_precedes_the_record_of_the_submit_takes_no_time_of_its_own() -> None:
    early = {**WHOLE, EventType.SUBMITTED: 80}
    assert took_ms(early)[Hop.STARTED] == 50
    assert took_ms(early)[Hop.CLAIMED] == 0


def test_an_event_that_was_never_recorded_counts_with_the_next() -> None:
    moments: dict[EventType, int] = {kind: moment for kind, moment in WHOLE.items() if kind is not EventType.SUBMITTED}
    assert took_ms(moments)[Hop.STARTED] == 50
    assert took_ms(moments)[Hop.CLAIMED] == 0


def test_a_clock_that_differs_by_a_little_makes_no_negative_time() -> None:
    assert took_ms({EventType.ACCEPTED: -3, EventType.SUBMITTED: -1}) == {Hop.ACCEPTED: 0, Hop.STARTED: 0}


def test_only_the_first_event_of_a_kind_counts() -> None:
    found = [*timeline(WHOLE), EventBody(seq=6, at=at(900), type=EventType.MESSAGE, text="")]
    assert measure_hops(found, sent_at=SENT, seen_at=None)[3].at == at(100)


@pytest.mark.parametrize(
    ("reached", "expected"),
    [(0, Hop.ACCEPTED), (1, Hop.STARTED), (2, Hop.CLAIMED), (3, Hop.BEGUN), (4, Hop.FINISHED), (5, Hop.SEEN)],
)
def test_the_next_hop_is_the_one_after_those_reached(reached: int, expected: Hop) -> None:
    events = timeline(dict(list(WHOLE.items())[:reached]))
    assert find_next_hop(measure_hops(events, sent_at=SENT, seen_at=None)) is expected


def test_a_stop_says_where_why_since_when_and_what_to_type() -> None:
    times = measure_hops(timeline({EventType.ACCEPTED: 10}), sent_at=SENT, seen_at=None)
    stop = Stop(hop=Hop.STARTED, why="Temporal is away", hint="stigmer doctor", since=at(10))
    report = PathReport(execution="aex-1", times=times, stop=stop, took_s=2.0)
    body = report.to_json()
    assert not report.is_ok
    assert "stopped before started (dispatcher to Temporal), since " in report.verdict.message
    assert report.verdict.message.endswith(": Temporal is away")
    hops = body["hops"]
    assert isinstance(hops, list)
    assert [one["state"] for one in hops] == ["reached", "stopped", *["not-reached"] * 4]
    assert hops[1]["why"] == "Temporal is away"
    assert hops[1]["since"] == "2026-05-04T12:00:00.010Z"


def test_the_first_failure_of_doctor_gives_the_way_out() -> None:
    cause = Verdict(message="runner (pid 7) is frozen", code="STG107", hint="kill -CONT 7")
    stop = Stop(hop=Hop.CLAIMED, why="no run has claimed it yet", hint="stigmer work")
    report = PathReport(execution="aex-1", times=(), stop=stop, took_s=2.0, cause=cause)
    assert report.verdict.hint == "kill -CONT 7"
    assert report.to_json()["cause"] == {
        "code": "STG107",
        "message": "runner (pid 7) is frozen",
        "hint": "kill -CONT 7",
    }
