"""Answers that no library of models reads as what they are, and would say that they have no content, or ask again.

They are a page, one JSON for a stream, and a redirect that drops what was asked.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import httpx
    import httpx2

BODY_MAX = 64 * 1024
EVENTS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""How a stream of events begins (HTML Living Standard, 9.2.6)."""

LOSES_THE_BODY = frozenset({HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.SEE_OTHER})
"""Redirects after which the HTTP libraries ask with GET, and without what was to be sent."""


class NoAnswer(Exception):
    """What came is no answer of a model. `body` is the JSON that was sent, if any, and `status` the one that it names.

    `sentence` goes on where the name of the model ends.
    """

    def __init__(self, sentence: str, *, body: object = None, status: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.body = body
        self.status = status


async def refuse_what_is_no_answer(response: "httpx.Response | httpx2.Response") -> None:
    """Raise NoAnswer for what cannot be read as a model's answer; a hook of both HTTP libraries."""
    if response.has_redirect_location:
        if response.status_code in LOSES_THE_BODY and response.request.method == "POST":
            raise NoAnswer(
                f"redirects to {_where(response)} ({response.status_code}), which loses what is asked on the way"
            )
        return
    if response.status_code != HTTPStatus.OK:
        return
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        raise NoAnswer("answered with a page (text/html), as a web site or a login does, and not as a model does")
    if kind == "application/json" and await _asks_for_stream(response.request) and not await _is_stream(response):
        raise _of_json(await _read(response))


def _of_json(text: str) -> NoAnswer:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    error = body.get("error") if isinstance(body, dict) else None
    if not error:
        return NoAnswer("answered all at once (application/json), and was asked for a stream, which it has to support")
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    is_status = isinstance(code, int) and code in set(HTTPStatus)
    return NoAnswer("answered 200, and an error in it", body=body, status=code if is_status else None)


async def _asks_for_stream(request: "httpx.Request | httpx2.Request") -> bool:
    try:
        asked = json.loads(await request.aread())
    except ValueError:
        return False
    return isinstance(asked, dict) and asked.get("stream") is True


async def _is_stream(response: "httpx.Response | httpx2.Response") -> bool:
    """Whether what comes is a stream of events all the same, as some endpoints send it (Palantir's Foundry)."""
    if "content-encoding" in response.headers:
        return False
    stream = cast("Any", response.stream)  # of both libraries: what the client has put around that of the transport
    pieces = stream._stream.__aiter__()  # noqa: SLF001 - no hook can look at what comes without taking it
    first = await anext(pieces, b"")
    stream._stream = _Begun(first, pieces, stream._stream)  # noqa: SLF001
    return first.lstrip().startswith(EVENTS)


class _Begun:
    """A stream of bytes whose `first` ones have been read."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes], stream: Any) -> None:  # noqa: ANN401 - of two libraries
        self._first, self._rest, self._stream = first, rest, stream

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        async with aclosing(self._rest) as rest:
            yield self._first
            async for piece in rest:
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _read(response: "httpx.Response | httpx2.Response") -> str:
    """Its text, not more than BODY_MAX of it, which is no JSON then."""
    read = b""
    async for piece in response.aiter_bytes():
        read += piece
        if len(read) > BODY_MAX:
            break
    return read.decode("utf-8", "replace")


def _where(response: "httpx.Response | httpx2.Response") -> str:
    """Origin and path of its goal: what is asked for may be secret."""
    goal = response.request.url.join(response.headers["location"])
    return f"{goal.scheme}://{goal.netloc.decode('ascii')}{goal.path}"
