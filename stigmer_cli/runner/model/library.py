"""The model library, loaded when it is first needed and off the event loop: it takes a second, busy machines ten.

Loading alone is not enough: the library makes its schemas and imports more modules at its first request. So the thread
that loads it also makes one request, to an endpoint of its own that answers at once.
"""

import asyncio
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from stigmer_cli.lean_imports import late_imports
from stigmer_cli.proxies import NO_PROXIES, Proxies, Proxy
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.running_version import InstallationChanged

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel

LOOPBACK = "127.0.0.1"
REHEARSAL_MAX_S = 10.0
SILENT_S = 300.0
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

_loading = threading.Lock()
_loaded = threading.Event()


class ModelLibrary:
    """Makes models of the library. One client an endpoint: to make one reads all certificates, for 20 ms or more."""

    def __init__(self, proxies: Proxies = NO_PROXIES, *, silent_s: float = SILENT_S) -> None:
        """`silent_s`: how long a model may say nothing before its first word, and between two."""
        self._proxies = proxies
        self.silent_s = silent_s
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Return when the library is loaded, which takes no time but the first time in a process.

        Raises InstallationChanged where it cannot be imported.
        """
        if not _loaded.is_set():
            try:
                await asyncio.to_thread(load)
            except ImportError as error:
                raise InstallationChanged(error) from error

    async def chat_model(self, name: str, *, url: str, key: str) -> "OpenAIChatModel":
        """The model called `name` behind the OpenAI-compatible endpoint `url`.

        Raises ModelFailed where the proxy on the way there cannot be used, and what the library raises.
        """
        await self.load()
        proxy = self.way_to(url)
        if proxy and not proxy.is_http:
            raise ModelFailed(
                f"the model openai:{name} would be asked through {proxy.where}, and only proxies that speak HTTP can be"
                f" used: set {urlsplit(url).scheme}_proxy to one, or put the host into no_proxy, then stigmer restart"
                " runner"
            )
        async with self._lock:
            client = self._clients.get((url, key))
            if client is None:
                client = await asyncio.to_thread(_client_of, url, key, proxy, self.silent_s)
                self._clients[url, key] = client
        return _model_of(name, client)

    def way_to(self, url: str) -> Proxy | None:
        """The proxy that `url` is asked through; None where it is asked directly."""
        return self._proxies.way_to(url)

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
        with late_imports():
            import pydantic_ai.direct  # noqa: PLC0415 - a second that only those pay who use it
            import pydantic_ai.models.openai  # noqa: PLC0415
            import pydantic_ai.providers.openai  # noqa: F401, PLC0415

            with suppress(Exception):  # the real request tells what is wrong
                asyncio.run(_rehearse())
        _loaded.set()
        structlog.get_logger().info("model_library_loaded")


def _client_of(url: str, key: str, proxy: Proxy | None, silent_s: float) -> "AsyncOpenAI":
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # noqa: PLC0415 - loaded before

    # The proxy is ours to choose; left to itself the library asks loopback through it. Retries are ours, too: they are
    # counted, logged and bounded in one place.
    way = DefaultAsyncHttpxClient(
        proxy=proxy.url if proxy else None, trust_env=False, verify=_trusted(), timeout=silent_s
    )
    return AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=silent_s, http_client=way)


def _trusted() -> ssl.SSLContext:
    """The authorities that the library trusts: those of SSL_CERT_FILE or SSL_CERT_DIR, else its own."""
    from httpx2 import create_ssl_context  # noqa: PLC0415 - what the library is built on

    try:
        return create_ssl_context(trust_env=True)
    except OSError as error:
        raise ModelFailed(f"what SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}") from error


def _model_of(name: str, client: "AsyncOpenAI") -> "OpenAIChatModel":
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - loaded before
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


async def _rehearse() -> None:
    """One streamed request and its answer, over a socket of our own."""
    from pydantic_ai.direct import model_request_stream  # noqa: PLC0415
    from pydantic_ai.messages import ModelRequest  # noqa: PLC0415

    async with asyncio.timeout(REHEARSAL_MAX_S), await asyncio.start_server(_answer, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with _client_of(f"http://{LOOPBACK}:{port}/v1", "r", None, REHEARSAL_MAX_S) as client:
            request = ModelRequest.user_text_prompt("r", instructions="r")
            async with model_request_stream(_model_of("r", client), [request]) as response:
                async for _ in response:
                    pass


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(HEAD_MAX)
    writer.write(ANSWER)
    await writer.drain()
    writer.close()
