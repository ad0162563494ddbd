"""The way HTTP requests go to a server: over TLS, or over connections on which the server has proven who it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Generator, Iterable
from urllib.parse import urlsplit

import httpcore
import httpx

from stigmer_cli.server_proof import (
    ANSWER_MAX,
    CHALLENGE_MAX_S,
    Challenge,
    Token,
    TokenRule,
    address_of,
    kept_from,
    may_send_token,
    prove,
)

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class Bearer(httpx.Auth):
    """The token as it is at the moment of each request."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token on the request."""
        if token := self._token():
            request.headers["Authorization"] = f"Bearer {token}"
        yield request


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
            return _Plain(None)
        case TokenRule.AFTER_PROOF:
            return _Plain(_Proving(host=urlsplit(url).netloc.rpartition("@")[2], token=token))


class _Plain(httpx.AsyncHTTPTransport):
    """HTTP without TLS, over the connections that `backend` makes; no certificates are loaded for it."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend | None) -> None:
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)  # httpx's own
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=backend,
        )


class _Proving(httpcore.AsyncNetworkBackend):
    """Connects over TCP, and hands a connection on only once the other end has proven that it holds the token."""

    def __init__(self, *, host: str, token: Token) -> None:
        self._host, self._token = host, token
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own, for the connect
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A proven connection; raises ServerUnproven, and what httpcore raises for one that fails or is silent."""
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            await self._prove(stream)
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def _prove(self, stream: httpcore.AsyncNetworkStream) -> None:
        try:
            challenge = Challenge(host=self._host, address=address_of(stream.get_extra_info("server_addr")))
            async with asyncio.timeout(CHALLENGE_MAX_S):
                await prove(challenge, lambda: stream.read(ANSWER_MAX), stream.write, self._token)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no proof in time") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        """Wait; httpcore's own."""
        await asyncio.sleep(seconds)


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
