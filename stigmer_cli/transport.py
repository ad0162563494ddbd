"""The way HTTP requests go to a server: over TLS, or over connections on which the server has proven who it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Generator
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
            return _plain(url, None)
        case TokenRule.AFTER_PROOF:
            return _plain(url, _proving(host=urlsplit(url).netloc.rpartition("@")[2], token=token))


def _plain(url: str, greet: Greeting | None) -> PlainTransport:
    parts = urlsplit(url)
    return PlainTransport(parts.hostname or "", parts.port or HTTP_PORT, greet=greet)


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
