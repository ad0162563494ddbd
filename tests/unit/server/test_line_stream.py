"""What is sent line by line says that nobody may collect it."""

from collections.abc import AsyncIterator

import httpx

from stigmer_cli.server.line_stream import send_lines


async def lines() -> AsyncIterator[str]:
    yield '{"a": 1}\n'
    yield "\n"


async def test_a_proxy_is_told_to_keep_nothing_back() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(send_lines(lines())), base_url="http://s") as client:
        answer = await client.get("/")
    assert answer.text == '{"a": 1}\n\n'
    told = [answer.headers[name] for name in ("content-type", "x-accel-buffering", "cache-control")]
    assert told == ["application/x-ndjson", "no", "no-store"]
