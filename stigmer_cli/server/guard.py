"""The guard: who may send requests, from where, and how large. The application never sees a refused request."""

import asyncio
import hmac
import json
from collections.abc import Callable
from math import ceil

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stigmer_cli.api.cloud_events import EVENTS_PATH
from stigmer_cli.api.problem import CONTENT_TYPE, Problem, problem_of
from stigmer_cli.domain.step import RESULT_BYTES_MAX
from stigmer_cli.errors import ServerBusy
from stigmer_cli.server.connections import admit
from stigmer_cli.server.hosts import AllowedHosts
from stigmer_cli.server.ui.access import is_ui
from stigmer_cli.server_proof import PATH as CHALLENGE

BODY_MAX = 4 * 1024 * 1024
STEP_BODY_MAX = 2 * RESULT_BYTES_MAX + 1024 * 1024
"""A result is a text inside a JSON string, where each of its quotes takes two bytes. So is the output of a workflow."""

STEP_PATHS = ("/steps/begin", "/steps/finish", "/outcome", "/v1/executions")
BODY_READ_MAX = 64 * 1024 * 1024
"""A body between the two is read and dropped: closing on who still sends resets the connection, and 413 is lost."""

DEPTH_MAX = 64
YIELD_BYTES = 64 * 1024
STEP_BYTES = 1024 * 1024
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
HOST_SHOWN = 100
UNAUTHORIZED = 401
BODY_UNREAD = frozenset({400, 413, 415, 503})
"""Answers given before the body was read to its end: the connection cannot be used again."""
OPEN_PATHS = frozenset({"/livez", "/readyz", CHALLENGE})
"""Answered without a token; a client asks for the challenge before it sends its token."""
IS_KNOWN = "stigmer.is_known"
"""Under this name the scope says whether the caller showed the token: an open path tells strangers less."""

FOREIGN_FETCHES = frozenset({"cross-site", "same-site"})
"""Values of Sec-Fetch-Site that another site's page sends (W3C Fetch Metadata)."""


class Refusal(Exception):
    """A request that is not let in."""

    def __init__(self, status: int, code: str, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.problem = Problem(title=code.replace("-", " "), status=status, code=code, detail=detail, hint=hint)


class Guard:
    """ASGI middleware: Host allow-list, no foreign origin, bearer token, JSON of bounded size and depth."""

    def __init__(
        self, app: ASGIApp, *, hosts: AllowedHosts, token: Callable[[], str | None], pages: ASGIApp | None = None
    ) -> None:
        """`pages` answers what is under /ui: for browsers, which bear a cookie and no token."""
        self._app, self._pages = app, pages
        self._hosts = hosts
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            self._check_host(scope, headers)
            if self._pages and is_ui(scope["path"]):
                admit(scope, is_known=False)
                await self._pages(scope, receive, send)
                return
            _check_origin(headers)
            is_known = self._is_known(headers)
            if scope["path"] != CHALLENGE:  # which comes first from callers who show the token next
                admit(scope, is_known=is_known)
            if not is_known and scope["path"] not in OPEN_PATHS:
                raise _refuse_stranger()
            body = await _read_body(scope, headers, receive)
        except Refusal as refusal:
            await _answer(refusal.problem, send)
            return
        except ServerBusy as error:
            await _answer(problem_of(error), send)
            return
        await self._app({**scope, IS_KNOWN: is_known}, replay_body(body, receive), send)

    def _check_host(self, scope: Scope, headers: Headers) -> None:
        """One Host that is ours (RFC 9112, 3.2); a target that names another host in its first line is no path."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not scope["path"].startswith("/"):
            raise Refusal(400, "invalid-request", "a request has one Host header, and a path as its target")
        if not self._hosts.admits(hosts[0], at=scope.get("server")):
            raise Refusal(
                421,
                "wrong-host",
                f"this server does not answer for host {hosts[0][:HOST_SHOWN]!r}",
                "if that is your own name for it, set STIGMER_ALLOWED_HOSTS=NAME",
            )

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        expected = self._token()
        matches = expected is not None and hmac.compare_digest(given.strip().encode(), expected.encode())
        return scheme.lower() == "bearer" and matches


def _refuse_stranger() -> Refusal:
    return Refusal(
        UNAUTHORIZED,
        "refused",
        "the bearer token is missing or wrong",
        "the token is in the file `token` of the home, or in STIGMER_TOKEN",
    )


def _check_origin(headers: Headers) -> None:
    if "origin" in headers or headers.get("sec-fetch-site") in FOREIGN_FETCHES:
        raise Refusal(403, "foreign-origin", "web pages may not talk to this server")


async def _read_body(scope: Scope, headers: Headers, receive: Receive) -> bytes:
    if scope["method"] in ("GET", "HEAD", "DELETE"):
        return b""
    bytes_max = STEP_BODY_MAX if scope["path"].endswith(STEP_PATHS) else BODY_MAX
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > BODY_READ_MAX:
        raise _too_large(bytes_max)
    body = await _collect(receive, bytes_max)
    if body:
        await _check_json(scope["path"], headers, body)
    return body


async def _collect(receive: Receive, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "invalid-request", "the request broke off")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= bytes_max:
            chunks.append(chunk)
        has_more = message.get("more_body", False)
        if size > (BODY_READ_MAX if has_more else bytes_max):
            raise _too_large(bytes_max)
        if not has_more:
            return b"".join(chunks)


def _too_large(bytes_max: int) -> Refusal:
    return Refusal(413, "too-large", f"a request may have {bytes_max // 1024 // 1024} MiB", "send a shorter message")


async def _check_json(path: str, headers: Headers, body: bytes) -> None:
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if path == EVENTS_PATH:  # an event may be of any kind
        if not media.endswith(("/json", "+json")):
            return
    elif media != "application/json":
        raise Refusal(415, "unsupported-media-type", "a request body must be application/json")
    await _yield_after(body)
    is_deeper = await _is_deeper(body)
    await _yield_after(body)
    if is_deeper:
        raise Refusal(400, "invalid-request", f"JSON is nested deeper than {DEPTH_MAX} levels, or not closed")


async def _is_deeper(body: bytes) -> bool:
    """Whether the nesting exceeds `DEPTH_MAX`, without parsing: each round takes the innermost brackets away.

    Between two steps over a large body it yields to the event loop.
    """
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return False
    text = await _drop_escapes(body)
    # A regular expression for strings takes half a second where 5 MB consist of quotes.
    outside_strings = b"".join(text.split(b'"')[::2])
    await _yield_after(text)
    brackets = outside_strings.translate(None, delete=NO_BRACKETS)
    for _ in range(DEPTH_MAX):
        left = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(left) == len(brackets):
            break
        brackets = left
        await _yield_after(brackets)
    return bool(brackets)


async def _drop_escapes(body: bytes) -> bytes:
    """`body` without escaped quotes and backslashes, piece by piece: a text may consist of them."""
    pieces: list[bytes] = []
    begin = 0
    while begin < len(body):
        piece = body[begin : begin + STEP_BYTES]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = body[begin : begin + STEP_BYTES + 1]  # what its last backslash escapes belongs to it
        pieces.append(piece.replace(rb"\\", b"").replace(rb"\"", b""))
        begin += len(piece)
        await _yield_after(piece)
    return b"".join(pieces)


async def _yield_after(text: bytes) -> None:
    """Let others have the event loop, after a step that took long because `text` is large."""
    if len(text) > YIELD_BYTES:
        await asyncio.sleep(0)


def replay_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands `body` out in one piece, as if it came only now, and then what comes next."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _answer(problem: Problem, send: Send) -> None:
    body = json.dumps(problem.model_dump(mode="json", by_alias=True, exclude_none=True)).encode()
    headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if problem.status == UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, ceil(problem.retry_after_s))).encode()))
    if problem.status in BODY_UNREAD:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
