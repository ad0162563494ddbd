"""One GET of a short command: it leaves a server that has gone silent at once, and refuses what is no answer."""

import asyncio
import time
from pathlib import Path

import pytest

from stigmer_cli.stack.http_get import http_get
from tests.support.tls import Authority, door_context


async def test_a_tls_server_that_goes_silent_after_the_request_is_left_at_once(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    asked, left = asyncio.Event(), asyncio.Event()

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined] # nothing is read any more, not even a farewell
        asked.set()
        await left.wait()
        writer.transport.abort()

    context = door_context(authority.issue("server", "localhost"))
    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/readyz"
        reading = asyncio.create_task(http_get(url, None, ca_file=str(authority.file)))
        await asked.wait()
        began = time.monotonic()
        reading.cancel()
        done, _ = await asyncio.wait({reading}, timeout=5)
        left.set()
        assert done
        assert time.monotonic() - began < 2
        server.close()


async def test_json_that_is_nested_too_deep_is_no_answer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 200_000)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        with pytest.raises(ValueError, match="nested too deep"):
            await http_get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/agents", None)
        server.close()
