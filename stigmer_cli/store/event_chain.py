"""How many executions have started each other by events, or without waiting: a workflow may start itself so.

The first event in the timeline of an execution that was started so has its generation. A child belongs to that of its
parent. An event names the execution that emitted it.
"""

from sqlalchemy import bindparam, select

from stigmer_cli.domain.event import EMITTED_BY, CloudEvent
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import Conflict, RequestError
from stigmer_cli.store.children import DEPTH_MAX
from stigmer_cli.store.database import Writing
from stigmer_cli.store.tables import events

GENERATION, PARENT = "generation", "parent"
"""How many executions in a chain, this one included, the one before started; and who waits for this one."""

GENERATIONS_MAX = 8

_FIRST = select(events.c.data).where(events.c.execution_id == bindparam("id"), events.c.seq == 1)


async def find_generation(writing: Writing, event: CloudEvent) -> int:
    """The generation of an execution that `event` starts: 1, unless another execution emitted it.

    Raises RequestError where the chain is too long.
    """
    emitter = event.get(EMITTED_BY)
    generation = await _find_generation_of(writing, emitter) + 1
    if generation > GENERATIONS_MAX:
        raise RequestError(
            f"this event of type {event['type']} would start an execution, and {GENERATIONS_MAX} have started each"
            f" other by events in a chain, the last one {emitter}",
            hint="give schedule.on a filter that what the workflow itself emits does not fit",
        )
    return generation


async def find_started_generation(writing: Writing, starter: ExecutionId) -> int:
    """The generation of an execution that the workflow of `starter` starts without waiting for it.

    Raises Conflict where the chain is too long.
    """
    generation = await _find_generation_of(writing, starter) + 1
    if generation > GENERATIONS_MAX:
        raise Conflict(
            f"{GENERATIONS_MAX} executions have started each other in a chain, the last one {starter}: give what runs"
            " again and again a schedule"
        )
    return generation


async def _find_generation_of(writing: Writing, id_: object) -> int:
    for _ in range(DEPTH_MAX + 1):
        first = await writing.connection.scalar(_FIRST, {"id": id_}) if isinstance(id_, str) else None
        if first is None:
            return 0
        if GENERATION in first:
            return int(first[GENERATION])
        id_ = first.get(PARENT)
    return 0
