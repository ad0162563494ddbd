"""How far the execution of `stigmer doctor --test` came, how long each hop took, and where it stopped; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from stigmer_cli.api.resources import EventBody
from stigmer_cli.clock import iso
from stigmer_cli.doctor.report import Verdict
from stigmer_cli.domain.execution import EventType
from stigmer_cli.time_format import span, time_and_zone


class Hop(StrEnum):
    """What an execution reaches, in order; scripts may rely on these words."""

    ACCEPTED = "accepted"
    STARTED = "started"
    CLAIMED = "claimed"
    BEGUN = "begun"
    FINISHED = "finished"
    SEEN = "seen"


WAYS: Mapping[Hop, str] = {
    Hop.ACCEPTED: "command to server and store",
    Hop.STARTED: "dispatcher to Temporal",
    Hop.CLAIMED: "Temporal to runner, and claim",
    Hop.BEGUN: "runner to model",
    Hop.FINISHED: "runner to server and store",
    Hop.SEEN: "server to command",
}
"""Who hands the execution to whom, to reach the hop."""

EVENTS: Mapping[EventType, Hop] = {
    EventType.ACCEPTED: Hop.ACCEPTED,
    EventType.SUBMITTED: Hop.STARTED,
    EventType.CLAIMED: Hop.CLAIMED,
    EventType.MESSAGE: Hop.BEGUN,
    EventType.COMPLETED: Hop.FINISHED,
    EventType.FAILED: Hop.FINISHED,
    EventType.CANCELLED: Hop.FINISHED,
}
"""The first event of each type is when the hop was reached."""


class HopState(StrEnum):
    """What became of a hop; scripts may rely on these words."""

    REACHED = "reached"
    STOPPED = "stopped"
    NOT_REACHED = "not-reached"


@dataclass(frozen=True, kw_only=True)
class HopTime:
    """When a hop was reached, by the clock that the store writes moments by, and how long after the hop before."""

    hop: Hop
    at: datetime
    took_s: float


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why the execution does not reach `hop`, since when as far as known, and what to type."""

    hop: Hop
    why: str
    hint: str
    since: datetime | None = None


def measure_hops(events: Sequence[EventBody], *, sent_at: datetime, seen_at: datetime | None) -> tuple[HopTime, ...]:
    """The hops reached, in order; `sent_at` and `seen_at` by the same clock as the events.

    A runner may claim an execution before the server has recorded that Temporal took it. The hop then took no time.
    """
    reached: dict[Hop, datetime] = {}
    for event in events:
        hop = EVENTS.get(event.type)
        if hop is not None:
            reached.setdefault(hop, event.at)
    if seen_at is not None:
        reached[Hop.SEEN] = seen_at
    last = max((place for place, hop in enumerate(Hop) if hop in reached), default=-1)
    times, before = [], sent_at
    for place, hop in enumerate(Hop):
        if place > last:
            break
        at = min(moment for later in list(Hop)[place:] if (moment := reached.get(later)) is not None)
        at = max(at, before)
        times.append(HopTime(hop=hop, at=at, took_s=(at - before).total_seconds()))
        before = at
    return tuple(times)


def find_next_hop(times: Sequence[HopTime]) -> Hop:
    """The hop after those reached; the last one if all are."""
    return list(Hop)[min(len(times), len(Hop) - 1)]


@dataclass(frozen=True, kw_only=True)
class PathReport:
    """The result of one test. `stop` is None if the execution went through every hop.

    `cause` is what failed first among doctor's checks after a stop; None if nothing did.
    """

    execution: str
    times: tuple[HopTime, ...]
    stop: Stop | None
    took_s: float
    cause: Verdict | None = None

    @property
    def is_ok(self) -> bool:
        """Whether every hop was reached and the execution completed."""
        return self.stop is None

    @property
    def verdict(self) -> Verdict:
        """One line: how long all took, or where it stopped and why."""
        if self.stop is None:
            return Verdict(message=f"healthy: an execution went through every hop in {span(self.took_s)}")
        since = f", since {time_and_zone(self.stop.since)}" if self.stop.since else ""
        where = f"the test execution stopped before {self.stop.hop!s} ({WAYS[self.stop.hop]})"
        hint = self.cause.hint if self.cause else self.stop.hint
        return Verdict(message=f"not healthy: {where}{since}: {self.stop.why}", hint=hint)

    def state_of(self, hop: Hop) -> HopState:
        """What became of `hop`."""
        if self.stop is not None and self.stop.hop is hop:
            return HopState.STOPPED
        return HopState.REACHED if any(one.hop is hop for one in self.times) else HopState.NOT_REACHED

    def to_json(self) -> dict[str, object]:
        """The JSON object that scripts may rely on."""
        return {
            "ok": self.is_ok,
            "verdict": self.verdict.to_json(),
            "cause": self.cause.to_json() if self.cause else None,
            "execution": self.execution or None,
            "hops": [self._hop_to_json(hop) for hop in Hop],
            "tookMs": round(self.took_s * 1000),
        }

    def _hop_to_json(self, hop: Hop) -> dict[str, object]:
        time = next((one for one in self.times if one.hop is hop), None)
        stop = self.stop if self.stop is not None and self.stop.hop is hop else None
        return {
            "hop": hop,
            "way": WAYS[hop],
            "state": self.state_of(hop),
            "at": iso(time.at) if time else None,
            "tookMs": round(time.took_s * 1000) if time else None,
            "why": stop.why if stop else "",
            "since": iso(stop.since) if stop and stop.since else None,
        }
