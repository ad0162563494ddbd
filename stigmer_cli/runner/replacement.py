"""When a worker is replaced by a new one: pure decisions over what is known of it."""

from dataclasses import dataclass

UNSEEN_MAX_S = 10.0
"""The task queue shows a poller at once; one that is not there by now never came (FACTS: seen green for 16 hours)."""

STALE_MAX_S = 90.0
"""A long poll lasts a minute at Temporal, and the task queue notes when it begins: measured, an idle worker is seen
every 55 to 57 s."""

STALE_OWN_MAX_S = 8.0
"""The dev server of our own stack ends a long poll after 4 s: measured, an idle worker is seen every 3 to 4 s."""

SILENCES_MAX = 2
"""Probes in a row through the worker's own client that may go unanswered while the runner's connection is well."""

WAITING_MAX_S = 5.0
"""A worker with a free slot takes up in milliseconds what waits."""

SEEN_NO_MORE = "the task queue sees it no more"
TAKES_NONE_UP = "work waits and it takes none up"
PARKED = frozenset({SEEN_NO_MORE, TAKES_NONE_UP})
"""Causes that may lie elsewhere: a worker replaced for one of them before it took anything up doubles `patience`."""


@dataclass(frozen=True, kw_only=True)
class WorkerObservation:
    """What is known of the current worker; ages in seconds, `access_age_s` None where no poller was ever seen.

    `free_s` is for how long a slot has been free, `idle_s` for how long it has taken nothing up, `waits_s` how long
    the oldest task has waited, `silences` how many probes in a row its own client got no answer to. `patience`
    multiplies the limits of a worker that replaced another one in vain.
    """

    is_broken: bool
    is_of_this_connection: bool
    is_seen: bool
    age_s: float
    access_age_s: float | None
    free_s: float = 0.0
    idle_s: float = 0.0
    waits_s: float = 0.0
    silences: int = 0
    stale_max_s: float = STALE_MAX_S
    patience: int = 1


def replacement_cause(observed: WorkerObservation) -> str | None:
    """Why the worker has to be replaced; None where it is well."""
    if observed.is_broken:
        return "the worker broke"
    if not observed.is_of_this_connection:
        return "Temporal came back"
    if observed.silences >= SILENCES_MAX:
        return "its own client gets no answer"
    if not observed.is_seen:
        return "the task queue never showed it" if observed.age_s > UNSEEN_MAX_S else None
    return _parked(observed)


def _parked(observed: WorkerObservation) -> str | None:
    """Whether it does not ask for work though it could take some."""
    if observed.access_age_s is None:
        return SEEN_NO_MORE if observed.free_s > UNSEEN_MAX_S * observed.patience else None
    if min(observed.access_age_s, observed.free_s) > observed.stale_max_s * observed.patience:
        return SEEN_NO_MORE
    if min(observed.waits_s, observed.idle_s, observed.free_s) > WAITING_MAX_S * observed.patience:
        return TAKES_NONE_UP
    return None
