"""Reads a stream of server-sent events, as the HTML standard (chapter 9.2) defines them, or of lines."""

import codecs
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

CONTENT_TYPE = "text/event-stream"
LINE_CHARS_MAX = 8 * 1024 * 1024
BOM = "\ufeff"
NUL = "\0"


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """`last_id` is the id of it or of an event before it: by that a server knows where the stream goes on."""

    data: str
    last_id: str


async def read_events(response: httpx.Response, last_id: str = "") -> AsyncIterator[StreamEvent]:
    """The events that have data; the stream goes on behind the event `last_id`.

    Raises ValueError for one that is too long, and httpx.HTTPError.
    """
    data: list[str] = []
    length = 0
    async for line in read_lines(response):
        if not line:
            if data:
                yield StreamEvent(data="\n".join(data), last_id=last_id)
            data, length = [], 0
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
            length += len(value)
        elif name == "id" and NUL not in value:
            last_id = value
        if length > LINE_CHARS_MAX:
            raise ValueError(f"an event of the stream is longer than {LINE_CHARS_MAX:,} characters")


async def read_lines(response: httpx.Response) -> AsyncIterator[str]:
    """The lines, which end with CR, LF or both, and with nothing else: JSON may hold other separators of Unicode.

    A last line without an end is left out. Raises ValueError for one that is too long, and httpx.HTTPError.
    """
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    left, is_after_cr, is_first = "", False, True
    async for content in response.aiter_bytes():
        text = decode(content)
        if not text:
            continue
        if is_first:
            text, is_first = text.removeprefix(BOM), False
        if is_after_cr:
            text = text.removeprefix("\n")
        is_after_cr = text.endswith("\r")
        *lines, left = (left + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            yield line
        if len(left) > LINE_CHARS_MAX:
            raise ValueError(f"a line of the stream is longer than {LINE_CHARS_MAX:,} characters")
