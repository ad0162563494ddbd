"""A page of long executions, sent piece by piece: 18 MB of JSON made at once would hold the event loop for 0.1 s."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

from stigmer_cli.api.resources import ExecutionPage, ExecutionResource

LARGE_CHARS = 1024 * 1024
"""From so many characters in messages and outputs on, a page counts as long: a millisecond for each 200,000."""


def send_in_pieces(page: ExecutionPage) -> ExecutionPage | StreamingResponse:
    """`page` as it is, or, if it is long, an answer with the same body that lets other requests in between."""
    if sum(map(_count_chars, page.items)) < LARGE_CHARS:
        return page
    return StreamingResponse(pieces_of(page), media_type="application/json")


async def pieces_of(page: ExecutionPage) -> AsyncIterator[str]:
    """The JSON of `page`, an execution at a time."""
    frame = page.model_copy(update={"items": []}).model_dump_json(by_alias=True)
    before, items, after = frame.partition('"items":[')
    yield before + items
    for number, item in enumerate(page.items):
        yield ("," if number else "") + item.model_dump_json(by_alias=True)
        await asyncio.sleep(0)
    yield after


def _count_chars(item: ExecutionResource) -> int:
    """Those of an agent: a list leaves long ones of workflows out."""
    said = sum(len(one.content) for one in item.status.messages)
    return len(item.spec.message) + (len(item.status.output) if isinstance(item.status.output, str) else 0) + said
