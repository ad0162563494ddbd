"""A home that is a copy of another one has its store, by id and content: who is who is told, and kept apart."""

from collections.abc import Callable

from stigmer_cli.database_url import sqlite_file
from stigmer_cli.errors import ConfigError
from stigmer_cli.project_home import Origin, Provenance
from stigmer_cli.settings import Home, Settings, Source
from stigmer_cli.stack.precedence import take_back
from stigmer_cli.store_record import read_store_record

OPEN_IN_BOTH = "what was open when it was copied is performed in both"


def heed_original(settings: Settings, found: Provenance, tell: Callable[[str], None]) -> None:
    """`tell` once that the home of `settings` is a copy, and of which home.

    Raises ConfigError where both would work on one Temporal: names of workflows and task queues are made of the store's
    id, so that the runners of each would take up the other's executions. A store that servers share is one store.
    """
    home, original = settings.home, found.original
    if original is None or sqlite_file(settings.database_url, home) is None:
        return
    ours, theirs = read_store_record(home), read_store_record(Home(path=original))
    if ours is None or theirs is None or ours.id != theirs.id:
        return
    if not settings.runs_own_temporal:
        raise ConfigError(
            f"{home.path} is a copy of {original}, and both have the store {ours.id}: on the Temporal at"
            f" {settings.temporal_target}, each would take up the other's executions",
            hint=f"{_leave_out_address(settings)}, for a Temporal of its own; or begin empty: stigmer down --purge",
        )
    if found.origin is Origin.COPY:
        tell(f"this home is a copy of {original}: {OPEN_IN_BOTH}")


def _leave_out_address(settings: Settings) -> str:
    is_flag = settings.sources.get("temporal_address") is Source.FLAG
    return "leave out --temporal-address" if is_flag else take_back(settings, "temporal_address")
