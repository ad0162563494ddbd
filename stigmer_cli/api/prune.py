"""The request to delete executions that have ended, and what came of each."""

from enum import StrEnum

from pydantic import Field

from stigmer_cli.api.wire import Asked, Sent

PRUNE_MAX = 200
"""Executions of one request: so many are deleted in one commit, which takes about 50 ms."""


class PruneOutcome(StrEnum):
    """What came of the request to delete one execution."""

    DELETED = "deleted"
    KEPT = "kept"


class PruneRequest(Asked):
    """The executions to delete."""

    ids: list[str] = Field(min_length=1, max_length=PRUNE_MAX)


class PruneItem(Sent):
    """One execution: `deleted`; or `kept`: it has not ended, an open execution still needs it, or it does not exist."""

    id: str
    outcome: PruneOutcome


class PruneResponse(Sent):
    """In the order of the request, each id once."""

    items: list[PruneItem]
