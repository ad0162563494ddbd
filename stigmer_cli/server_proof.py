"""Who may be shown the bearer token: a server behind TLS, or one on this machine that proves that it has it already.

The proof is HMAC-SHA256 (RFC 2104), keyed with the token, over a nonce of the client's, the address that the server was
reached at, and the server's pid. It is asked for first thing on each connection and counts for that connection alone:
nothing is remembered, so no other process can step into the place of one that was checked before. The address stops
a process in between from passing the question on to the true server on another port. The first line of what is signed
keeps a proof from meaning anything elsewhere.
"""

import hashlib
import hmac
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from stigmer_cli.errors import ServerBusy, ServerUnproven, TokenKept

PATH = "/v1/challenge"
PURPOSE = "stigmer: a server proves that it holds the token; 1"
NONCE_BYTES = 32
NONCE_CHARS = 2 * NONCE_BYTES
ANSWER_MAX = 8 * 1024
CHALLENGE_MAX_S = 5.0
"""From the question to the whole answer, however slowly it trickles; a healthy server takes a millisecond."""

Token = Callable[[], str | None]
Read = Callable[[], Awaitable[bytes]]
Write = Callable[[bytes], Awaitable[None]]


class TokenRule(StrEnum):
    """When the token may be sent to a server."""

    OVER_TLS = "over TLS"
    AFTER_PROOF = "after a proof"
    AS_TOLD = "as told"
    NEVER = "never"


def may_send_token(url: str, *, is_insecure_allowed: bool) -> TokenRule:
    """When the token may be sent to the server at `url`.

    `is_insecure_allowed` is STIGMER_INSECURE_HTTP, a person's word that the way to a server named by URL is safe
    without TLS and without a proof: a tunnel, a forwarded port, a network of one's own.
    """
    parts = urlsplit(url)
    if parts.scheme == "https":
        return TokenRule.OVER_TLS
    if is_insecure_allowed:
        return TokenRule.AS_TOLD
    return TokenRule.AFTER_PROOF if is_loopback(parts.hostname or "") else TokenRule.NEVER


def kept_from(url: str) -> TokenKept:
    """The error for a server to which the token is never sent."""
    return TokenKept(
        f"the token is not sent to {url}: it would cross the network unencrypted",
        hint="use an https:// URL, or set STIGMER_INSECURE_HTTP=true if nobody can listen on the way there",
    )


def is_loopback(host: str) -> bool:
    """Whether `host` is an address of this machine's loopback interface, or its usual name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(name: Sequence[object] | None) -> str:
    """`HOST:PORT` of a socket's name, in one spelling on both ends: no IPv4 address inside an IPv6 one.

    Raises ConnectionResetError for None, which stands for the name of an end that was gone before it could be asked.
    """
    if name is None:
        raise ConnectionResetError("the other end closed the connection at once")
    host = ipaddress.ip_address(str(name[0]).partition("%")[0])
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return f"{mapped or host}:{name[1]}"


def proof_of(token: str, *, nonce: str, address: str, pid: int) -> str:
    """What a server with this token, in process `pid`, answers to `nonce` at `address`; hexadecimal."""
    signed = "\n".join((PURPOSE, nonce, address, str(pid)))
    return hmac.new(token.encode(), signed.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for a challenge: who says to be the server, and the proof of it."""

    pid: int
    proof: str


class Challenge:
    """One question to the process that listens at `address`. `host` is the client's name for it (HTTP's Host)."""

    def __init__(self, *, host: str, address: str) -> None:
        self.address = address
        self.nonce = secrets.token_hex(NONCE_BYTES)
        self.request = (
            f"GET {PATH}?nonce={self.nonce} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n"
        ).encode("ascii")

    def read_answer(self, data: bytes) -> Answer | None:
        """The answer in `data`, all that came so far; None where it is not whole yet.

        Raises ValueError for what no server of ours sends: another status (a redirect, say), a body without its length,
        something behind the body, a body that is no proof.
        """
        if len(data) > ANSWER_MAX:
            raise ValueError("a long answer")
        head, gap, body = data.partition(b"\r\n\r\n")
        if not gap:
            return None
        length = _length(head)
        if len(body) < length:
            return None
        found = json.loads(body)
        if len(body) > length or not isinstance(found, dict):
            raise ValueError("no answer to the question")
        return _answer(found)

    def is_met_by(self, answer: Answer, token: str) -> bool:
        """Whether `answer` proves that its sender holds `token` and listens where the question was put."""
        expected = proof_of(token, nonce=self.nonce, address=self.address, pid=answer.pid)
        return hmac.compare_digest(answer.proof.encode(), expected.encode())


async def prove(challenge: Challenge, read: Read, write: Write, token: Token) -> None:
    """Return once the other end of a connection has proven that it holds the token; the caller sets the deadline.

    Raises ServerBusy where it takes no requests just now, ServerUnproven where it answered and did not prove it or
    there is no token to hold the proof against, and ConnectionResetError where it closed without an answer.
    """
    known = token()
    if known is None:
        raise ServerUnproven(f"there is no token yet that the server at {challenge.address} could prove to have")
    await write(challenge.request)
    try:
        answer = await _answer_to(challenge, read)
    except _Busy:
        message = f"what answers at {challenge.address} {ServerBusy.words} requests just now (status 503)"
        raise ServerBusy(message, hint="stigmer doctor") from None
    except (ValueError, TypeError) as error:
        raise _unproven(challenge, "it is not a Stigmer server, or it has an older version") from error
    rotated = token()  # may have been replaced between question and answer
    if not any(challenge.is_met_by(answer, one) for one in (known, rotated) if one is not None):
        raise _unproven(challenge, "its proof is for another token, or for another address")


async def _answer_to(challenge: Challenge, read: Read) -> Answer:
    data = b""
    while (answer := challenge.read_answer(data)) is None:
        chunk = await read()
        if not chunk:
            if data:
                raise ValueError("a broken answer")
            raise ConnectionResetError("closed without an answer")
        data += chunk
    return answer


def _unproven(challenge: Challenge, why: str) -> ServerUnproven:
    return ServerUnproven(
        f"what answers at {challenge.address} has not proven that it holds the token of this home ({why}); nothing was"
        " sent to it",
        hint="stigmer doctor; behind a tunnel or a forwarded port, STIGMER_INSECURE_HTTP=true",
    )


class _Busy(Exception):
    """The other end takes no more requests just now."""


def _length(head: bytes) -> int:
    status, *lines = head.split(b"\r\n")
    words = status.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or words[1] != b"200":  # noqa: PLR2004 - HTTP/1.1 200 OK
        raise _Busy if words[1:2] == [b"503"] else ValueError("no such route")
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without its length")


def _answer(found: Mapping[str, object]) -> Answer:
    pid, proof = found.get("pid"), found.get("proof")
    if not isinstance(pid, int) or not isinstance(proof, str):
        raise TypeError("no proof")
    return Answer(pid=pid, proof=proof)
