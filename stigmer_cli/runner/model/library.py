"""The model library, loaded when it is first needed and off the event loop: it takes a second, busy machines ten.

Loading alone is not enough: the library makes its schemas and imports more modules at its first request. So the thread
that loads it also makes one request, to an endpoint of its own that answers at once; for each provider, too.
"""

import asyncio
import inspect
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from stigmer_cli.domain.model_provider import OPENAI, Provider, describe_missing_library
from stigmer_cli.extras import is_installed
from stigmer_cli.lean_imports import late_imports
from stigmer_cli.proxies import NO_PROXIES, Proxies, Proxy
from stigmer_cli.redirects import withhold_secrets
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.runner.model.unreadable import refuse_what_is_no_answer
from stigmer_cli.running_version import InstallationChanged
from stigmer_cli.tls.authorities import read_authorities

if TYPE_CHECKING:
    import httpx
    import httpx2
    from pydantic_ai.models import Model
    from pydantic_ai.providers import Provider as LibraryProvider
    from pydantic_ai.settings import ModelSettings

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
_loaded: set[str] = set()


class ModelLibrary:
    """Makes models of the library. They share their HTTP clients: to make one reads all certificates, for 20 ms."""

    def __init__(self, proxies: Proxies = NO_PROXIES, *, silent_s: float = SILENT_S) -> None:
        """`silent_s`: how long a model may say nothing before its first word, and between two."""
        self._proxies = proxies
        self.silent_s = silent_s
        self._models: dict[tuple[str, str, str | None, str | None], Model] = {}
        self._clients = _HttpClients(silent_s)
        self._lock = asyncio.Lock()

    async def load(self, provider: Provider = OPENAI) -> None:
        """Return when the library is loaded for `provider`, which takes no time but the first time in a process.

        Raises ModelFailed where the extra of `provider` is not installed, or cannot be imported, and
        InstallationChanged where what Stigmer itself comes with cannot be: it was there when Stigmer was installed.
        """
        if provider.name in _loaded:
            return
        if provider.extra and not is_installed(provider.library) and is_installed(OPENAI.library):
            raise ModelFailed(describe_missing_library(provider))
        try:
            await asyncio.to_thread(load, provider)
        except ImportError as error:
            if not (provider.extra and is_installed(OPENAI.library)):
                raise InstallationChanged(error) from error
            raise ModelFailed(f"the library of {provider.name}: models cannot be loaded: {error}") from error

    async def model(self, provider: Provider, name: str, *, url: str | None, key: str | None) -> "Model":
        """The model called `name` of `provider`, at `url`, or where the provider has it.

        Raises ModelFailed where the proxy on the way there cannot be used, and what the library raises.
        """
        await self.load(provider)
        async with self._lock:
            place = (provider.name, name, url, key)
            if place not in self._models:
                self._models[place] = await asyncio.to_thread(self._make, provider, name, url, key)
            return self._models[place]

    def way_to(self, url: str) -> Proxy | None:
        """The proxy that `url` is asked through; None where it is asked directly."""
        return self._proxies.way_to(url)

    async def close(self) -> None:
        """Close the connections to all models."""
        self._models.clear()
        await self._clients.close()

    def _make(self, provider: Provider, name: str, url: str | None, key: str | None) -> "Model":
        found = _make_model(provider, name, self._clients, url=url, key=key, proxy=self.way_to(url) if url else None)
        proxy = self.way_to(url or found.base_url or "")
        if proxy and not proxy.is_http:
            raise ModelFailed(
                f"the model {provider.name}:{name} would be asked through {proxy.where}, and only proxies that speak"
                f" HTTP can be used: set {urlsplit(url or found.base_url or '').scheme}_proxy to one, or put the host"
                " into no_proxy, then stigmer restart runner"
            )
        if proxy and not url:  # only the provider knew where it is
            return _make_model(provider, name, self._clients, url=url, key=key, proxy=proxy)
        return found


IGNORED = {"HuggingFaceProvider": frozenset({"http_client"})}
"""Parameters that a provider's class has, and refuses to be given."""


class _HttpClients:
    """One client of each HTTP library for each proxy. The proxy is ours: the libraries would ask loopback through it.

    Two libraries are in use by the providers' packages: httpx, and its successor httpx2.
    """

    def __init__(self, silent_s: float) -> None:
        self._silent_s = silent_s
        self._made: dict[tuple[str, bool], httpx2.AsyncClient | httpx.AsyncClient] = {}

    def find(self, proxy: Proxy | None, *, is_old: bool) -> "httpx2.AsyncClient | httpx.AsyncClient":
        """The client that asks through `proxy`, of the older library if `is_old`."""
        place = (proxy.url if proxy and proxy.is_http else "", is_old)
        if place not in self._made:
            self._made[place] = self._make(place[0] or None, is_old=is_old)
        return self._made[place]

    def _make(self, proxy: str | None, *, is_old: bool) -> "httpx2.AsyncClient | httpx.AsyncClient":
        options: dict[str, Any] = {
            "proxy": proxy,
            "trust_env": False,
            "verify": _trusted(),
            "timeout": self._silent_s,
            "follow_redirects": True,
            "event_hooks": {"request": [withhold_secrets], "response": [refuse_what_is_no_answer]},
        }
        if is_old:
            import httpx  # noqa: PLC0415 - loaded before

            return httpx.AsyncClient(**options)
        import httpx2  # noqa: PLC0415 - loaded before

        return httpx2.AsyncClient(**options)

    async def close(self) -> None:
        """Close all of them."""
        for client in self._made.values():
            await client.aclose()
        self._made.clear()


def settings_for(model: "Model") -> "ModelSettings":
    """What each request to `model` is made with. Retries are ours: counted, logged and bounded in one place."""
    return {} if "max_retries" in model.unsupported_settings else {"max_retries": 0}


def load(provider: Provider = OPENAI) -> None:
    """Load the library and make it ready for a request without a delay; call it off the event loop."""
    with _loading:
        if provider.name in _loaded:
            return
        with late_imports():
            import pydantic_ai.direct  # noqa: PLC0415 - a second that only those pay who use it
            import pydantic_ai.models.openai  # noqa: PLC0415
            import pydantic_ai.providers.openai  # noqa: F401, PLC0415

            _find_class(provider)
            with suppress(Exception):  # the real request tells what is wrong
                asyncio.run(_rehearse(provider))
        _loaded.add(provider.name)
        structlog.get_logger().info("model_library_loaded", provider=provider.name)


def _find_class(provider: Provider) -> "type[LibraryProvider[Any]]":
    from pydantic_ai.providers import infer_provider_class  # noqa: PLC0415 - loaded before

    return infer_provider_class(provider.library_name or provider.name)


def _make_model(
    provider: Provider, name: str, clients: _HttpClients, *, url: str | None, key: str | None, proxy: Proxy | None
) -> "Model":
    from pydantic_ai.models import infer_model  # noqa: PLC0415 - loaded before

    class_ = _find_class(provider)
    given = _arguments(class_, clients, url=url, key=key, proxy=proxy)
    return infer_model(f"{provider.library_name or provider.name}:{name}", lambda _: class_(**given))


def _arguments(
    class_: "type[LibraryProvider[Any]]",
    clients: _HttpClients,
    *,
    url: str | None,
    key: str | None,
    proxy: Proxy | None,
) -> Mapping[str, Any]:
    """What of these the class takes, by the names that it has for them."""
    known = set(inspect.signature(class_).parameters) - IGNORED.get(class_.__name__, frozenset())
    is_old = "http_client" in known and "httpx.AsyncClient" in str(
        inspect.signature(class_).parameters["http_client"].annotation
    )
    given: dict[str, Any] = {
        "api_key": key,
        "token": key,
        "base_url": url,
        "azure_endpoint": url,
        "http_client": clients.find(proxy, is_old=is_old),
    }
    return {name: value for name, value in given.items() if name in known and value is not None}


def _trusted() -> ssl.SSLContext:
    try:
        return read_authorities()
    except OSError as error:
        raise ModelFailed(str(error)) from error


async def _rehearse(provider: Provider) -> None:
    """One streamed request and its answer, over a socket of our own; only OpenAI's library understands the answer."""
    from pydantic_ai.direct import model_request_stream  # noqa: PLC0415
    from pydantic_ai.messages import ModelRequest  # noqa: PLC0415

    clients = _HttpClients(REHEARSAL_MAX_S)
    async with asyncio.timeout(REHEARSAL_MAX_S), await asyncio.start_server(_answer, LOOPBACK, 0) as server:
        url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/v1"
        if not {"base_url", "http_client"} <= set(inspect.signature(_find_class(provider)).parameters):
            return  # it would ask the provider
        model = _make_model(provider, "r", clients, url=url, key="rehearsal", proxy=None)
        request = ModelRequest.user_text_prompt("r", instructions="r")
        try:
            async with model_request_stream(model, [request], model_settings=settings_for(model)) as response:
                async for _ in response:
                    pass
        finally:
            await clients.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(HEAD_MAX)
    writer.write(ANSWER)
    await writer.drain()
    writer.close()
