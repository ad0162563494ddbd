"""Checks of category Temporal about the task queue: whether a runner asks for work, and how much waits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stigmer_cli.doctor.check import Found, Scope, Severity, check, failed, passed, skipped, told, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.facts.pollers import age_s, gone_pollers, live, temporals_now
from stigmer_cli.doctor.text import count
from stigmer_cli.domain.stuck import MORE_WORKERS
from stigmer_cli.stack.parts import RUNNER
from stigmer_cli.stack.readiness import is_worker_of
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import ChildRecord
from stigmer_cli.time_format import span

if TYPE_CHECKING:
    from stigmer_cli.temporal.gateway import Poller

SETTLING_S = 5.0
BACKLOG_MANY = 100


@check(
    "STG207",
    "a runner polls",
    needs=("STG107", "STG113", "STG114", "STG115", "STG203"),
    scope=Scope.TEMPORAL,
    settles=True,
)
async def polled(facts: Facts) -> Found:
    """A runner that is alive may still take up no work.

    Only Temporal knows who asked its task queue for work, and when. A dead runner stays listed there for five minutes,
    so this looks at the time, and for the stack's own runner also at its pid.
    """
    seen = await facts.temporal()
    if seen.pollers is None:
        return skipped("Temporal did not say in time who polls")
    health = (await facts.server()).health
    now = temporals_now(seen.pollers, health)
    gone = gone_pollers(seen, health, await facts.supervisor())
    fresh = live(seen.pollers, gone, now)
    evidence: dict[str, object] = {
        "taskQueue": seen.task_queue,
        "pollers": [
            {"identity": one.identity, "ageS": round(age_s(one, now), 1), "isGone": one.identity in gone}
            for one in seen.pollers
        ],
    }
    ours = await _find_runner(facts)
    if ours is not None and ours.id is not None and not _is_polling(ours.id, fresh):
        return _judge_silent(ours, ours.id.pid, others=len(fresh), evidence=evidence)
    if not fresh:
        message = f'no runner asks the task queue "{seen.task_queue}" for work: what is submitted waits'
        return failed(message, "stigmer restart runner" if ours else MORE_WORKERS, **evidence)
    youngest = min(age_s(one, now) for one in fresh)
    return passed(f"{count(len(fresh), 'runner')} polling, seen {span(int(youngest))} ago", **evidence)


@check("STG208", "backlog", needs=("STG203",), severity=Severity.INFO, scope=Scope.TEMPORAL)
async def backlog(facts: Facts) -> Found:
    """This counts the tasks that wait in Temporal until a runner has time for them.

    Each further `stigmer work` takes its share.
    """
    number = (await facts.temporal()).backlog
    if number is None:
        return skipped("Temporal did not say in time how much waits")
    if number > BACKLOG_MANY:
        message = f"about {number} tasks wait in Temporal for a runner"
        return warned(message, MORE_WORKERS, backlog=number)
    return told(f"about {number} tasks wait in Temporal", backlog=number) if number else passed("nothing waits there")


def _judge_silent(runner: ChildRecord, pid: int, *, others: int, evidence: dict[str, object]) -> Found:
    """The stack's own runner does not poll."""
    if (runner.uptime_s or 0.0) < SETTLING_S:
        return warned(
            f"the runner (pid {pid}) just started and does not poll yet", "stigmer doctor --wait=10", **evidence
        )
    message = f"the runner (pid {pid}) is alive, but does not ask Temporal for work"
    if others:
        return warned(f"{message}; others do", "stigmer restart runner", **evidence)
    return failed(message, "stigmer restart runner", **evidence)


async def _find_runner(facts: Facts) -> ChildRecord | None:
    record = (await facts.supervisor()).record if facts.endpoints else None
    return record.child(RUNNER) if record else None


def _is_polling(process: ProcessId, pollers: "Sequence[Poller]") -> bool:
    return any(is_worker_of(process, one.identity) for one in pollers)
