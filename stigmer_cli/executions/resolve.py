"""Which execution a short reference means."""

from collections.abc import Sequence
from datetime import datetime

from stigmer_cli.api.execution_names import execution_name
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.execution_reference import IdPart, Newest, parse_reference
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Ambiguous, NotFound
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.references import ENDS_AMONG
from stigmer_cli.store.store import Store
from stigmer_cli.time_format import ago

CANDIDATES_MAX = 5
LIST = "stigmer executions list"


async def resolve_reference(store: Store, text: str, clock: Clock) -> Execution:
    """The execution that `text` refers to, without its messages.

    Raises RequestError for what is no reference, Ambiguous with up to five candidates if it fits several executions,
    and NotFound if there is none.
    """
    match parse_reference(text):
        case Newest() as wanted:
            return await _find_newest(store, wanted)
        case IdPart() as part:
            found = await store.executions.find_by_part(part, limit=CANDIDATES_MAX + 1)
            if len(found) > 1:
                raise _refuse_several(text, found, clock.now())
            if not found:
                raise NotFound(_describe_missing(part), hint=LIST)
            return found[0]


async def _find_newest(store: Store, wanted: Newest) -> Execution:
    phases = frozenset({Phase.FAILED}) if wanted.is_failed else frozenset[Phase]()
    page = await store.executions.list(Filter(phases=phases, agent=wanted.agent), limit=1)
    if page.items:
        return page.items[0]
    of = f" of {wanted.agent}" if wanted.agent else ""
    raise NotFound(f"no execution{of} {'has failed' if wanted.is_failed else 'exists'}", hint=LIST)


def _refuse_several(text: str, found: Sequence[Execution], now: datetime) -> Ambiguous:
    shown = found[:CANDIDATES_MAX]
    count = f"{len(found)}" if len(shown) == len(found) else f"more than {CANDIDATES_MAX}"
    lines = [f"  {one.id}  {one.agent_name}, {one.phase}, {ago(one.created_at, now)} ago" for one in shown]
    return Ambiguous(
        "\n".join((f"{text!r} fits {count} executions:", *lines)),
        hint="type more of the id, or all of it",
        candidates=[execution_name(one).to_wire() for one in shown],
    )


def _describe_missing(part: IdPart) -> str:
    if part.end is None:
        return f"no execution's id begins with {part.beginnings[0]}"
    return f"no execution's id begins with {part.part}, and none of the newest {ENDS_AMONG:,} ends with it"
