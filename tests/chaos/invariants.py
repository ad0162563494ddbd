"""The judgement: four sources compared at the end, namely the client's log, the store, Temporal, and the timelines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.temporal.gateway import Gateway, RunState
from tests.chaos.workload import Wanted

ECHO = "Echo (no model was asked): say {key} once"
ENDINGS = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})


@dataclass
class Judgement:
    """Keys by what is wrong with them, each with a sentence. `shown` wait for a person, and say so: nothing wrong."""

    lost: dict[str, str] = field(default_factory=dict)
    duplicated: dict[str, str] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether every source tells the same story."""
        return not (self.lost or self.duplicated or self.stuck)


async def everything(client: Client) -> Mapping[str, ExecutionResource]:
    """All rows of the store by id."""
    rows: dict[str, ExecutionResource] = {}
    cursor: str | None = None
    while True:
        page = await client.executions({"limit": 500, "cursor": cursor})
        rows |= {row.metadata.id: row for row in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return rows


def is_settled(row: ExecutionResource) -> bool:
    """Whether it ended, or says that it waits for a person."""
    return row.status.phase.is_terminal or row.status.attention is not None


@dataclass(frozen=True)
class Excuse:
    """What an emptied Temporal excuses about one wish: that its workflow is unknown, and that a person has to look."""

    unknown: bool = False
    shown: bool = False


async def judge(
    log: Sequence[Wanted], client: Client, gateway: Gateway, *, excuse: Callable[[Wanted], Excuse]
) -> Judgement:
    """Compare all four for every wish."""
    rows, judgement = await everything(client), Judgement()
    messages = [row.spec.message for row in rows.values()]
    known = {id_ for wanted in log for id_ in wanted.ids}
    for id_ in rows.keys() - known:
        judgement.duplicated[id_] = "a row that no answer ever named"
    for wanted in log:
        if len(wanted.ids) != 1 or messages.count(f"say {wanted.key} once") != 1:
            judgement.duplicated[wanted.key] = f"one key, and these ids: {sorted(wanted.ids)}"
        for id_ in wanted.ids - rows.keys():
            judgement.lost[wanted.key] = f"{id_} was acknowledged, and is not in the store"
        for id_ in wanted.ids & rows.keys():
            await _one(judgement, wanted, rows[id_], client, gateway, excuse=excuse(wanted))
    return judgement


async def _one(
    judgement: Judgement, wanted: Wanted, row: ExecutionResource, client: Client, gateway: Gateway, *, excuse: Excuse
) -> None:
    key, id_, status = wanted.key, row.metadata.id, row.status
    events = await client.events(id_)
    told = _timeline(events, status.epoch)
    if told:
        judgement.duplicated[key] = f"{id_}: {told}"
    if not is_settled(row):
        judgement.stuck[key] = f"{id_} is still {status.phase}: {status.dispatch}"
    elif status.attention is not None:
        judgement.shown[key] = f"{id_} (attempt {status.attempt}): {status.attention.code}: {status.attention.reason}"
        if not excuse.shown:
            judgement.lost[key] = f"{id_} needs a person though Temporal forgot nothing: {status.attention.reason}"
    elif status.output != ECHO.format(key=key):
        judgement.lost[key] = f"{id_} ended {status.phase} with {status.output!r}, {status.error!r}"
    observed = await gateway.describe(execution=ExecutionId(id_), kind=Kind.AGENT, epoch=status.epoch)
    if observed is None and not excuse.unknown:
        judgement.lost[key] = f"{id_}: Temporal does not know it"
    if observed is not None and observed.state is RunState.OPEN and status.phase.is_terminal:
        judgement.stuck[key] = f"{id_} has ended, and its workflow is still open"


def _timeline(events: Sequence[EventBody], epoch: int) -> str:
    """What is wrong with a timeline; empty if nothing is."""
    types = [event.type for event in events]
    claims = [str(event.data.get("run")) for event in events if event.type is EventType.CLAIMED]
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        return "its events have gaps"
    if len(claims) > epoch or len(set(claims)) != len(claims):
        return f"{len(claims)} claims in {epoch} epochs: {claims}"
    if sum(type_ in ENDINGS for type_ in types) > 1:
        return f"it ended more than once: {types}"
    if types.count(EventType.ACCEPTED) != 1:
        return f"accepted more than once: {types}"
    return ""
