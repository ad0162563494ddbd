"""The way HTTP requests go to a server: over TLS, or over connections on which the server has proven who it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

from stigmer_cli.plain_transport import Greeting, PlainTransport, Wire
from stigmer_cli.server_proof import (
    CHALLENGE_MAX_S,
    Challenge,
    Token,
    TokenRule,
    address_of,
    kept_from,
    may_send_token,
    prove,
)

HTTP_PORT = 80
Parameter = str | int | float | Sequence[str]
HEADERS = {"Accept": "*/*", "User-Agent": "stigmer"}


class Sender:
    """Sends requests to the server at `base_url`, each with the token as it is at that moment.

    It does what `httpx.AsyncClient` would, without cookies, redirects and proxies, in half of its processor time.
    `answered` is told of each answer as soon as its headers are there.
    """

    def __init__(
        self,
        base_url: str,
        token: Token,
        transport: httpx.AsyncBaseTransport,
        *,
        timeout: httpx.Timeout,
        answered: Callable[[httpx.Response], None],
    ) -> None:
        """Raises httpx.InvalidURL for a `base_url` that is none."""
        self._base = str(httpx.URL(base_url)).rstrip("/")
        self._token, self._transport, self._timeout, self._answered = token, transport, timeout, answered

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Parameter] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, read to its end; raises httpx.TransportError where there is none."""
        async with self.stream(method, path, params=params, content=content, headers=headers) as response:
            await response.aread()
        return response

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Parameter] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,  # noqa: ASYNC109 - httpx's own, per read
    ) -> AsyncIterator[httpx.Response]:
        """The answer, to be read within the block; raises what `request` raises."""
        named = {**HEADERS, **(headers or {})}
        if token := self._token():
            named["Authorization"] = f"Bearer {token}"
        request = httpx.Request(
            method,
            self._base + path,
            params=params or None,
            headers=named,
            content=content,
            extensions={"timeout": (timeout or self._timeout).as_dict()},
        )
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            self._answered(response)
            yield response
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def transport_to(
    url: str, token: Token, context: ssl.SSLContext, *, is_insecure_allowed: bool
) -> httpx.AsyncBaseTransport:
    """A transport for requests that carry the token to the server at `url`; with https, `context` says whom to trust.

    Raises TokenKept where the token may not be sent there at all.
    """
    match may_send_token(url, is_insecure_allowed=is_insecure_allowed):
        case TokenRule.NEVER:
            raise kept_from(url)
        case TokenRule.OVER_TLS:
            return httpx.AsyncHTTPTransport(verify=context, trust_env=False)
        case TokenRule.AS_TOLD:
            return PlainTransport(*_address(url))
        case TokenRule.AFTER_PROOF:
            greet = _proving(host=urlsplit(url).netloc.rpartition("@")[2], token=token)
            # Who has proven to hold an old token is not told the new one.
            return PlainTransport(*_address(url), greet=greet, demand=token)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or HTTP_PORT


def _proving(*, host: str, token: Token) -> Greeting:
    """Let requests go over a connection only once the other end has proven on it that it holds the token.

    It raises ServerUnproven, and what httpx raises for a connection that fails or is silent.
    """

    async def greet(wire: Wire) -> None:
        try:
            challenge = Challenge(host=host, address=address_of(wire.transport.get_extra_info("peername")))
            async with asyncio.timeout(CHALLENGE_MAX_S):
                await prove(challenge, wire.read, wire.write, token)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no proof in time") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error

    return greet


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a stream, which end at a newline and at nothing else.

    `httpx.Response.aiter_lines` also splits at U+2028, U+0085 and others, which JSON holds unescaped (RFC 8259, 7).
    """
    rest = bytearray()
    async for chunk in chunks:
        *lines, tail = chunk.split(b"\n")
        for line in lines:
            yield bytes(rest) + line
            rest.clear()
        rest += tail
    if rest:
        yield bytes(rest)
