"""The parameters of a URL that select executions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Query
from pydantic import AwareDatetime

from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.labels import parse_label_selector
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.search import parse_search
from stigmer_cli.errors import RequestError
from stigmer_cli.server.routes.called import Called
from stigmer_cli.store.columns import check_text
from stigmer_cli.store.due_rows import Aged
from stigmer_cli.store.listing import Filter

LABELS_MAX = 16

T = TypeVar("T")

SEARCH_HELP = (
    'Words that the message, the output or the error must all contain; `"words in quotes"` in this order; `word*` for '
    "the beginning of a word. Case does not count, and what is neither letter nor digit separates words."
)
LABEL_HELP = "A label that it must have: `key=value`, or `key` for any value. May be repeated."
WAITING_HELP = "Whether it waits for a person, a time or an event, and nobody works on it meanwhile."
SINCE_HELP = "Accepted at this time or later; RFC 3339, with a zone."
UNTIL_HELP = "Accepted before this time; RFC 3339, with a zone."


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """When executions were accepted: from `since` on, and before `until`; None: no bound."""

    since: datetime | None
    until: datetime | None


async def read_range(
    since: Annotated[AwareDatetime | None, Query(description=SINCE_HELP)] = None,
    until: Annotated[AwareDatetime | None, Query(description=UNTIL_HELP)] = None,
) -> TimeRange:
    """The span of the parameters; raises RequestError for an empty one."""
    if since and until and since >= until:
        raise RequestError(f"nothing lies between since={since.isoformat()} and until={until.isoformat()}")
    return TimeRange(since=since, until=until)


async def read_filter(
    called: Called,
    within: Annotated[TimeRange, Depends(read_range)],
    phase: Annotated[list[Phase] | None, Query()] = None,
    kind: Annotated[list[Kind] | None, Query()] = None,
    agent: Annotated[str | None, Query(description="Name or id of the agent.")] = None,
    workflow: Annotated[str | None, Query(description="Id of the workflow, NAME, or NAMESPACE/NAME.")] = None,
    session: Annotated[str | None, Query(description="Name of the session.")] = None,
    older_than_s: Annotated[float | None, Query(alias="olderThanS", ge=0, le=1e9)] = None,
    label: Annotated[list[str] | None, Query(description=LABEL_HELP, max_length=LABELS_MAX)] = None,
    search: Annotated[str | None, Query(description=SEARCH_HELP)] = None,
    waiting: Annotated[bool | None, Query(description=WAITING_HELP)] = None,
) -> Filter:
    """What the parameters select; raises RequestError, which names the parameter, for one that cannot be used."""
    now = called.clock.now()
    return Filter(
        phases=frozenset(phase or ()),
        kinds=frozenset(kind or ()),
        agent=agent,
        workflow=None if workflow is None else check_text(workflow),
        session=None if session is None else check_text(session),
        aged=None if older_than_s is None else Aged.by(now, s=older_than_s),
        labels=_parse("label", lambda: [parse_label_selector(check_text(text)) for text in label or ()]),
        search=_parse("search", lambda: () if search is None else parse_search(check_text(search))),
        waiting=waiting,
        since=within.since,
        until=within.until,
    )


def _parse(name: str, parse: Callable[[], Sequence[T]]) -> Sequence[T]:
    try:
        return parse()
    except ValueError as error:
        raise RequestError(f"{name}: {error}") from None
