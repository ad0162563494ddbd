"""Checks of category Temporal about the task queue: whether a runner asks for work, and how much waits."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from stigmer_cli.doctor.check import Category, Check, Found, Severity, failed, passed, skipped, told, warned
from stigmer_cli.doctor.facts import Facts
from stigmer_cli.doctor.parts import is_out_of_sight
from stigmer_cli.doctor.text import count, span
from stigmer_cli.domain.identity import POLLER_FRESH_S
from stigmer_cli.stack.parts import RUNNER
from stigmer_cli.stack.readiness import is_worker_of
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import ChildRecord

if TYPE_CHECKING:
    from stigmer_cli.api.health import Health, PollerBody
    from stigmer_cli.temporal.gateway import Poller

P = TypeVar("P", "Poller", "PollerBody", "Poller | PollerBody")
SETTLING_S = 5.0
BACKLOG_MANY = 100
NEVER = datetime.fromtimestamp(0, UTC)
START = "stigmer work"


async def polled(facts: Facts) -> Found:
    """Whether a living runner asks the task queue for work."""
    seen = await facts.temporal()
    if seen.pollers is None:
        return skipped("Temporal did not say in time who polls")
    now = _temporals_now(seen.pollers, (await facts.server()).health)
    gone = await _gone(facts)
    fresh = _live(seen.pollers, gone, now)
    evidence: dict[str, object] = {
        "taskQueue": seen.task_queue,
        "pollers": [
            {"identity": one.identity, "ageS": round(_age_s(one, now), 1), "isGone": one.identity in gone}
            for one in seen.pollers
        ],
    }
    ours = await _runner(facts)
    if ours is not None and ours.id is not None and not _is_polling(ours.id, fresh):
        return _silent(ours, ours.id.pid, others=len(fresh), evidence=evidence)
    if not fresh:
        message = f'no runner asks the task queue "{seen.task_queue}" for work: what is submitted waits'
        return failed(message, "stigmer restart runner" if ours else START, **evidence)
    youngest = min(_age_s(one, now) for one in fresh)
    return passed(f"{count(len(fresh), 'runner')} polling, seen {span(youngest)} ago", **evidence)


async def live_pollers(facts: Facts) -> "Sequence[Poller | PollerBody]":
    """Who polls now, as this process sees it, else as the server does; whoever is dead or silent is left out."""
    seen, health = await facts.temporal(), (await facts.server()).health
    listed: Sequence[Poller | PollerBody] | None = seen.pollers
    if listed is None:
        listed = health.task_queue.pollers if health else ()
    return _live(listed, await _gone(facts), _temporals_now(listed, health))


async def _gone(facts: Facts) -> frozenset[str]:
    """Those whose process has ended; none where the pids of the stack are not those of this process."""
    return frozenset() if is_out_of_sight(await facts.supervisor()) else (await facts.temporal()).gone


def _temporals_now(listed: "Sequence[Poller | PollerBody]", health: "Health | None") -> datetime:
    """What time it is by Temporal's own clock, at least: its moments are compared with no other.

    Each moment of its answer has passed; and what the server saw is by now as long ago as the server says.
    """
    moments = [poller.last_access_at for poller in listed]
    if health is not None:
        moments += [one.last_access_at + timedelta(seconds=one.silent_s) for one in health.task_queue.pollers]
    return max(moments, default=NEVER)


def _live(listed: "Iterable[P]", gone: frozenset[str], now: datetime) -> "list[P]":
    return [one for one in listed if one.identity not in gone and _age_s(one, now) < POLLER_FRESH_S]


async def backlog(facts: Facts) -> Found:
    """How much waits in Temporal for a runner."""
    number = (await facts.temporal()).backlog
    if number is None:
        return skipped("Temporal did not say in time how much waits")
    if number > BACKLOG_MANY:
        message = f"about {number} tasks wait in Temporal for a runner"
        return warned(message, START, backlog=number)
    return told(f"about {number} tasks wait in Temporal", backlog=number) if number else passed("nothing waits there")


def _silent(runner: ChildRecord, pid: int, *, others: int, evidence: dict[str, object]) -> Found:
    """The stack's own runner does not poll."""
    if (runner.uptime_s or 0.0) < SETTLING_S:
        return warned(
            f"the runner (pid {pid}) just started and does not poll yet", "stigmer doctor --wait=10", **evidence
        )
    message = f"the runner (pid {pid}) is alive, but does not ask Temporal for work"
    if others:
        return warned(f"{message}; others do", "stigmer restart runner", **evidence)
    return failed(message, "stigmer restart runner", **evidence)


async def _runner(facts: Facts) -> ChildRecord | None:
    record = (await facts.supervisor()).record if facts.endpoints else None
    return record.child(RUNNER) if record else None


def _is_polling(process: ProcessId, pollers: "Sequence[Poller]") -> bool:
    return any(is_worker_of(process, one.identity) for one in pollers)


def _age_s(poller: "Poller | PollerBody", now: datetime) -> float:
    return (now - poller.last_access_at).total_seconds()


POLLING_CHECKS: tuple[Check, ...] = (
    Check(
        code="STG207",
        category=Category.TEMPORAL,
        name="a runner polls",
        severity=Severity.ERROR,
        probe=polled,
        needs=("STG107", "STG113", "STG114", "STG115", "STG203"),
        explanation="A runner that is alive is not yet one that works: only Temporal knows who asked its task queue for"
        " work, and when. A dead runner stays listed there for five minutes, so the time is looked at, and for the"
        " stack's own runner also its pid.",
    ),
    Check(
        code="STG208",
        category=Category.TEMPORAL,
        name="backlog",
        severity=Severity.INFO,
        probe=backlog,
        needs=("STG203",),
        explanation="How many tasks wait in Temporal until a runner has time for them. Each further `stigmer work`"
        " takes its share.",
    ),
)
