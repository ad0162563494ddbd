"""Who asks the task queue for work, judged by Temporal's own clock; whoever is dead or silent does not count."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from stigmer_cli.doctor.facts.facts import Facts, TemporalSeen
from stigmer_cli.doctor.facts.sight import is_out_of_sight
from stigmer_cli.domain.identity import is_fresh
from stigmer_cli.stack.status import SupervisorObservation

if TYPE_CHECKING:
    from stigmer_cli.api.health import Health, PollerBody
    from stigmer_cli.temporal.gateway import Poller

P = TypeVar("P", "Poller", "PollerBody", "Poller | PollerBody")
NEVER = datetime.fromtimestamp(0, UTC)


async def live_pollers(facts: Facts) -> "Sequence[Poller | PollerBody]":
    """Who polls now, as far as this process, else the server, can see."""
    return live_among(await facts.temporal(), (await facts.server()).health, await facts.supervisor())


def live_among(
    seen: TemporalSeen, health: "Health | None", supervisor: SupervisorObservation
) -> "Sequence[Poller | PollerBody]":
    """Who polls now, as this process sees it, else as the server does; whoever is dead or silent is left out."""
    listed: Sequence[Poller | PollerBody] | None = seen.pollers
    if listed is None:
        listed = health.task_queue.pollers if health else ()
    return live(listed, gone_pollers(seen, supervisor), temporals_now(listed, health))


def gone_pollers(seen: TemporalSeen, supervisor: SupervisorObservation) -> frozenset[str]:
    """Those whose process has ended; none where the pids of the stack are not those of this process."""
    return frozenset() if is_out_of_sight(supervisor) else seen.gone


def live(listed: "Iterable[P]", gone: frozenset[str], now: datetime) -> "list[P]":
    """Those of `listed` that asked for work lately, and are not in `gone`."""
    return [one for one in listed if one.identity not in gone and is_fresh(age_s(one, now))]


def temporals_now(listed: "Sequence[Poller | PollerBody]", health: "Health | None") -> datetime:
    """What time it is by Temporal's own clock, at least: its moments are compared with no other.

    Each moment of its answer has passed; and what the server saw is by now as long ago as the server says.
    """
    moments = [poller.last_access_at for poller in listed]
    if health is not None:
        moments += [one.last_access_at + timedelta(seconds=one.silent_s) for one in health.task_queue.pollers]
    return max(moments, default=NEVER)


def age_s(poller: "Poller | PollerBody", now: datetime) -> float:
    """How long ago it asked for work, at `now` by Temporal's clock."""
    return (now - poller.last_access_at).total_seconds()
