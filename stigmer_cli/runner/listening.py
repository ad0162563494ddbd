"""The events that the tasks of a workflow listen for, as the server is told of them when the attempt ends."""

from collections.abc import Sequence
from dataclasses import replace

from stigmer_cli.api.cloud_events import ListenerBody, QueryBody, query_bodies
from stigmer_cli.domain.event import QUERIES_MAX, EventQuery
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.workflow.runtime import Listening, Waits

TYPES_SHOWN = 3
CONDITIONS_SHOWN = 3
VALUE_MAX = 60
"""Characters that are shown of a value that an event must have."""


def tell_queries(queries: Sequence[EventQuery]) -> list[QueryBody]:
    """`queries` without what holds a secret, which no part but the runner compares: more events fit then."""
    return query_bodies(
        [
            replace(
                query,
                type=_tell(query.type),
                source=_tell(query.source),
                subject=_tell(query.subject),
                equals=tuple((path, text) for path, text in query.equals if _tell(text) is not None),
            )
            for query in queries
        ]
    )


def _tell(text: str | None) -> str | None:
    return text if text is None or DELIVERED.redact(text) == text else None


def make_listeners(listenings: Sequence[Listening]) -> Sequence[ListenerBody]:
    """One body for each task; those that are too many are one, which may be woken by an event that it has seen."""
    if len(listenings) <= QUERIES_MAX:
        return [ListenerBody(queries=tell_queries(one.queries), after=one.after or 0) for one in listenings]
    queries = list(dict.fromkeys(query for one in listenings for query in one.queries))[:QUERIES_MAX]
    return [ListenerBody(queries=tell_queries(queries), after=min(one.after or 0 for one in listenings))]


def describe_waits(waits: Waits) -> Sequence[str]:
    """What is waited for beside a time, as sentences."""
    listening = [describe_listening(waits.listenings)] if waits.listenings else []
    if not waits.children:
        return listening
    others = f" and {len(waits.children) - 1} more have" if waits.children[1:] else " has"
    return [f"execution {waits.children[0]}{others} not ended", *listening]


def describe_listening(listenings: Sequence[Listening]) -> str:
    """What is waited for, as a sentence: `approval listens for review.decided events`.

    Where all such events are alike, it says what they must have: ` whose data.pr is 17`.
    """
    keys = dict.fromkeys(one.key for one in listenings)
    types = sorted({query.type or "any" for one in listenings for query in one.queries}) or ["any"]
    shown = ", ".join(types[:TYPES_SHOWN]) + (f" and {len(types) - TYPES_SHOWN} more" if types[TYPES_SHOWN:] else "")
    others = f" and {len(keys) - 1} other tasks" if len(keys) > 1 else ""
    queries = {query for one in listenings for query in one.queries}
    conditions = _describe_conditions(next(iter(queries))) if len(queries) == 1 else ""
    task = next(iter(keys), "it").rpartition("/")[2]
    return f"{task}{others} listen{'' if others else 's'} for {shown} events{conditions}"


def _describe_conditions(query: EventQuery) -> str:
    named = (("source", query.source), ("subject", query.subject))
    wanted = [
        *((name, text) for name, text in named if text is not None),
        *((".".join(path), text) for path, text in query.equals),
    ]
    shown = [f"{name} is {' '.join(text.split())[:VALUE_MAX]}" for name, text in wanted[:CONDITIONS_SHOWN]]
    return f" whose {' and '.join(shown)}" if shown else ""
