"""Reads a stream of server-sent events, as the HTML standard (chapter 9.2) defines them."""

from collections.abc import AsyncIterator

import httpx

CONTENT_TYPE = "text/event-stream"
LINE_CHARS_MAX = 8 * 1024 * 1024


async def read_events(response: httpx.Response) -> AsyncIterator[str]:
    """The data of each event that has any. Raises ValueError for one that is too long, and httpx.HTTPError."""
    data: list[str] = []
    length = 0
    async for line in response.aiter_lines():
        if not line:
            if data:
                yield "\n".join(data)
            data, length = [], 0
            continue
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
            length += len(value)
        if length > LINE_CHARS_MAX:
            raise ValueError(f"an event of the stream is longer than {LINE_CHARS_MAX:,} characters")
