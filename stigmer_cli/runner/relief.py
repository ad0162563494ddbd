"""When a worker is relieved by a new one: pure decisions over what is known of it."""

from dataclasses import dataclass

UNSEEN_MAX_S = 10.0
"""The task queue shows a poller at once; one that is not there by now never came (FACTS: seen green for 16 hours)."""

STALE_MAX_S = 90.0
"""A long poll lasts a minute, and the task queue notes when it begins."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the worker that is on; ages in seconds, `access_age_s` None where no poller was ever seen."""

    is_broken: bool
    is_of_this_connection: bool
    is_seen: bool
    age_s: float
    access_age_s: float | None


def relief_cause(known: Known) -> str | None:
    """Why the worker has to be relieved; None where it is well."""
    if known.is_broken:
        return "the worker broke"
    if not known.is_of_this_connection:
        return "Temporal came back"
    if not known.is_seen:
        return "the task queue never showed it" if known.age_s > UNSEEN_MAX_S else None
    if known.access_age_s is None or known.access_age_s > STALE_MAX_S:
        return "the task queue sees it no more"
    return None
