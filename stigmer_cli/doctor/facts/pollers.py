"""Which runners poll the task queue, judged by Temporal's own clock; dead and silent ones do not count."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from stigmer_cli.doctor.facts.facts import Facts, TemporalSeen
from stigmer_cli.doctor.facts.pid_visibility import is_out_of_sight
from stigmer_cli.domain.identity import is_fresh
from stigmer_cli.stack.status import SupervisorObservation

if TYPE_CHECKING:
    from stigmer_cli.api.health import Health, PollerBody
    from stigmer_cli.temporal.gateway import Poller

P = TypeVar("P", "Poller", "PollerBody", "Poller | PollerBody")
NEVER = datetime.fromtimestamp(0, UTC)


async def live_pollers(facts: Facts) -> "Sequence[Poller | PollerBody]":
    """The runners that poll now, as this process sees them, else as the server does."""
    return live_among(await facts.temporal(), (await facts.server()).health, await facts.supervisor())


def live_among(
    seen: TemporalSeen, health: "Health | None", supervisor: SupervisorObservation
) -> "Sequence[Poller | PollerBody]":
    """The runners that poll now, as this process sees them, else as the server does, without dead and silent ones."""
    listed: Sequence[Poller | PollerBody] | None = seen.pollers
    if listed is None:
        listed = health.task_queue.pollers if health else ()
    return live(listed, gone_pollers(seen, health, supervisor), temporals_now(listed, health))


def gone_pollers(seen: TemporalSeen, health: "Health | None", supervisor: SupervisorObservation) -> frozenset[str]:
    """The identities whose process has ended, or of which the server says that they poll no more.

    Whether a process has ended is not known where the stack is in another pid namespace.
    """
    told = {one.identity for one in health.task_queue.pollers if one.is_gone} if health else set()
    return frozenset(told) if is_out_of_sight(supervisor) else seen.gone | told


def live(listed: "Iterable[P]", gone: frozenset[str], now: datetime) -> "list[P]":
    """Those of `listed` that asked for work lately, and are not in `gone`."""
    return [one for one in listed if one.identity not in gone and is_fresh(age_s(one, now))]


def temporals_now(listed: "Sequence[Poller | PollerBody]", health: "Health | None") -> datetime:
    """The earliest time that Temporal's own clock can show now; its times are never compared with another clock.

    Every time in its answer has passed, and the server says how long ago it saw each of its own.
    """
    moments = [poller.last_access_at for poller in listed]
    if health is not None:
        moments += [one.last_access_at + timedelta(seconds=one.silent_s) for one in health.task_queue.pollers]
    return max(moments, default=NEVER)


def age_s(poller: "Poller | PollerBody", now: datetime) -> float:
    """How long ago it asked for work, at `now` by Temporal's clock."""
    return (now - poller.last_access_at).total_seconds()
