"""A stream of events is cut into lines and events as the standard says, however its bytes come in."""

from collections.abc import AsyncIterator

import httpx
import pytest

from stigmer_cli.runner.call.event_stream import LINE_CHARS_MAX, read_events, read_lines

STREAM = (
    '\ufeffdata: {"said": "a\u2028b\u0085ü"}\r\n\r\n: comment\rid: 1\rdata: two\rdata:lines\r\revent: x\n\ndata: cut'
)


async def _send(content: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
async def test_events_are_the_same_wherever_the_bytes_are_cut(size: int) -> None:
    response = httpx.Response(200, content=_send(STREAM.encode(), size))
    assert [event.data async for event in read_events(response)] == ['{"said": "a\u2028b\u0085ü"}', "two\nlines"]


async def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    response = httpx.Response(200, content=_send(b"x" * (LINE_CHARS_MAX + 1), 1 << 20))
    with pytest.raises(ValueError, match="longer than 8,388,608 characters"):
        [line async for line in read_lines(response)]
