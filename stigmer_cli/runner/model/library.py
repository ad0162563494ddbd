"""The model library, loaded when it is first needed and off the event loop: it takes a second, busy machines ten.

Loading alone is not enough: the library makes its schemas and imports more modules at its first request. So the thread
that loads it also makes one request, to an endpoint of its own that answers at once.
"""

import asyncio
import gc
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel

LOOPBACK = "127.0.0.1"
REHEARSAL_MAX_S = 10.0
HEAD_MAX = 64 * 1024
CHUNK = '{"id":"r","object":"chat.completion.chunk","created":1,"model":"r","choices":[%s]}'
CHOICES = (
    '{"index":0,"delta":{"role":"assistant","content":"r"},"finish_reason":null}',
    '{"index":0,"delta":{},"finish_reason":"stop"}',
)
ANSWER = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    + "".join(f"data: {CHUNK % choice}\n\n" for choice in CHOICES)
    + "data: [DONE]\n\n"
).encode()

SILENCE_MAX_S = 300.0
"""A local model may think for minutes before its first word."""


_loading = threading.Lock()
_loaded = threading.Event()


class ModelLibrary:
    """Makes models of the library. One client an endpoint: to make one reads all certificates, for 20 ms or more."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Return when the library is loaded, which takes no time but the first time in a process."""
        if not _loaded.is_set():
            await asyncio.to_thread(load)

    async def chat_model(self, name: str, *, url: str, key: str) -> "OpenAIChatModel":
        """The model called `name` behind the OpenAI-compatible endpoint `url`; raises what the library raises."""
        await self.load()
        async with self._lock:
            client = self._clients.get((url, key))
            if client is None:
                client = await asyncio.to_thread(_client_of, url, key)
                self._clients[url, key] = client
        return _model_of(name, client)

    async def close(self) -> None:
        """Close the connections of all clients."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()


def load() -> None:
    """Load the library and make it ready for a request without a delay; call it off the event loop."""
    with _loading:
        if _loaded.is_set():
            return
        was_enabled = gc.isenabled()
        gc.disable()  # a look through what is being loaded holds the interpreter's lock for 0.1 s each time
        try:
            import pydantic_ai.direct  # noqa: PLC0415 - a second that only those pay who use it
            import pydantic_ai.models.openai  # noqa: PLC0415
            import pydantic_ai.providers.openai  # noqa: F401, PLC0415

            with suppress(Exception):  # the real request tells what is wrong
                asyncio.run(_rehearse())
        finally:
            gc.freeze()
            if was_enabled:
                gc.enable()
        _loaded.set()
        structlog.get_logger().info("model_library_loaded")


def _client_of(url: str, key: str) -> "AsyncOpenAI":
    from openai import AsyncOpenAI  # noqa: PLC0415 - loaded before

    # Retries are ours: they are counted, logged and bounded in one place.
    return AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=SILENCE_MAX_S)


def _model_of(name: str, client: "AsyncOpenAI") -> "OpenAIChatModel":
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - loaded before
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


async def _rehearse() -> None:
    """One streamed request and its answer, over a socket of our own."""
    from openai import AsyncOpenAI  # noqa: PLC0415 - loaded before
    from pydantic_ai.direct import model_request_stream  # noqa: PLC0415
    from pydantic_ai.messages import ModelRequest  # noqa: PLC0415

    async with asyncio.timeout(REHEARSAL_MAX_S), await asyncio.start_server(_answer, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncOpenAI(base_url=f"http://{LOOPBACK}:{port}/v1", api_key="r", max_retries=0) as client:
            request = ModelRequest.user_text_prompt("r", instructions="r")
            async with model_request_stream(_model_of("r", client), [request]) as response:
                async for _ in response:
                    pass


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(HEAD_MAX)
    writer.write(ANSWER)
    await writer.drain()
    writer.close()
