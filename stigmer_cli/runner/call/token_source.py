"""Access tokens of OAuth 2.0 and OpenID Connect: asked for once, and kept in memory until they expire."""

import asyncio
import base64
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import httpx

from stigmer_cli.clock import Clock
from stigmer_cli.runner.call.token_request import Grant, build_token_request
from stigmer_cli.secret_values import DELIVERED, SecretValues
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.json_value import Json

DISCOVERY = "/.well-known/openid-configuration"
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - an address
POLICIES_MAX = 1_000
"""The policy that was used longest ago is forgotten after so many."""

EARLY_S = 30.0
"""A token is replaced before it expires: the request that shows it takes time, and clocks differ."""

EARLY_PART = 0.1
TRIED_S = 10.0
"""A token that was issued so short ago, and is refused, is not revoked: the service wants something else."""

LIFE_UNKNOWN_S = 60.0
"""How long a token is kept whose server does not say how long it is valid."""

ANSWER_S_MAX = 30.0
ANSWER_BYTES_MAX = 1024 * 1024
SAID_CHARS_MAX = 300
SERVER_ERROR = 500
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, kw_only=True)
class Token:
    """What a request shows. `issued_s`, `fresh_until_s`: on the monotonic clock."""

    text: str = field(repr=False)
    scheme: str
    refresh: str | None = field(repr=False)
    issued_s: float
    fresh_until_s: float

    def list_headers(self) -> Mapping[str, str]:
        """The headers of a request that show it."""
        return {"Authorization": f"{self.scheme} {self.text}"}


@dataclass(kw_only=True)
class _Entry:
    """The token of one policy. The lock is held while one is asked for."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: Token | None = None
    failure: WorkflowError | None = None
    """How the last request failed that did."""


class TokenSource:
    """The tokens of all policies that a runner has used."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def find(self, policy: Policy, *, refused: Token | None = None) -> Token:
        """A token that is valid as far as is known.

        `refused`, which a service did not take, is replaced if it was issued a while ago: it was revoked then, and else
        the service would not take another one, either. Raises WorkflowError: the authority refuses, or does not answer.
        """
        entry = self._find_entry(policy)
        before = entry.failure
        async with entry.lock:
            if entry.failure is not None and entry.failure is not before:
                raise WorkflowError(entry.failure.fields)  # of a request for which this call waited
            known = entry.token
            now_s = self._clock.monotonic()
            is_revoked = known is refused and known is not None and now_s - known.issued_s >= TRIED_S
            if known is not None and not is_revoked and known.fresh_until_s > now_s:
                return known
            try:
                entry.token = await self._renew(policy, known)
            except WorkflowError as error:
                entry.token, entry.failure = None, error
                raise
            return entry.token

    def _find_entry(self, policy: Policy) -> _Entry:
        text = json.dumps([policy.scheme, policy.properties], sort_keys=True)
        key = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        if len(self._entries) > POLICIES_MAX:
            self._entries.popitem(last=False)
        return entry

    async def _renew(self, policy: Policy, known: Token | None) -> Token:
        """A new token, by the refresh token of the last one if that is still taken."""
        address = await self._find_address(policy)
        if known is not None and known.refresh is not None:
            try:
                return await self._ask(policy, address, known.refresh)
            except WorkflowError as error:
                if not str(error.fields["type"]).endswith(ErrorType.AUTHENTICATION):
                    raise
        return await self._ask(policy, address, None)

    async def _find_address(self, policy: Policy) -> str:
        """Where tokens are: by the document of the authority (OpenID Connect), or by the policy."""
        authority = str(policy.properties.get("authority") or "").rstrip("/")
        if policy.scheme != "oidc":
            endpoints = policy.properties.get("endpoints")
            path = str((endpoints.get("token") if isinstance(endpoints, Mapping) else None) or TOKEN_PATH)
            return path if path.startswith(("http://", "https://")) else f"{authority}/{path.lstrip('/')}"
        place = authority if authority.endswith(DISCOVERY) else authority + DISCOVERY
        answer = await self._exchange(httpx.Request("GET", _parse(place)), SecretValues())
        if not isinstance(address := answer.get("token_endpoint"), str):
            raise make_error(ErrorType.AUTHENTICATION, f"{place} names no token_endpoint")
        return address

    async def _ask(self, policy: Policy, address: str, refresh: str | None) -> Token:
        shown = SecretValues()
        grant = Grant(address=str(_parse(address)), properties=policy.properties, now_s=self._clock.now().timestamp())
        request = build_token_request(grant, refresh, shown)
        answer = await self._exchange(request, shown)
        text = answer.get("access_token")
        if not isinstance(text, str) or not text:
            raise make_error(ErrorType.AUTHENTICATION, f"POST {address}: the answer has no access_token")
        DELIVERED.remember_issued(text)
        _check_issuer(policy, text, address)
        kind = str(answer.get("token_type") or "Bearer")
        new = answer.get("refresh_token")
        kept = new if isinstance(new, str) and new else refresh
        if kept is not None:
            DELIVERED.remember_issued(kept)
        return Token(
            text=text,
            scheme="Bearer" if kind.lower() == "bearer" else kind,
            refresh=kept,
            issued_s=self._clock.monotonic(),
            fresh_until_s=self._clock.monotonic() + _find_life_s(answer.get("expires_in")),
        )

    async def _exchange(self, request: httpx.Request, shown: SecretValues) -> Mapping[str, Json]:
        """The JSON object that the authority answers. Raises WorkflowError, without what `shown` holds."""
        what = f"{request.method} {request.url}"
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                response = await self._client.send(request, stream=True)
                try:
                    content = await _read(response)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            detail = f"{what}: {str(error) or type(error).__name__}"
            raise make_error(ErrorType.COMMUNICATION, detail) from error
        answer = _parse_object(content)
        if not response.is_success:
            said = shown.redact(DELIVERED.redact(_describe_refusal(answer, content)))
            raise _refuse(f"{what}: {response.status_code} {response.reason_phrase}{said}", response.status_code)
        if answer is None:
            raise make_error(ErrorType.AUTHENTICATION, f"{what}: the answer is no JSON object")
        return answer


def _parse(address: str) -> httpx.URL:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise make_error(ErrorType.CONFIGURATION, f"the authority has no valid address: {address}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise make_error(ErrorType.CONFIGURATION, f"the authority has no address of http or https: {address}")
    return url


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer is longer than {ANSWER_BYTES_MAX:,} bytes")
    return bytes(content)


def _parse_object(content: bytes) -> Mapping[str, Json] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _describe_refusal(answer: Mapping[str, Json] | None, content: bytes) -> str:
    """`error` and `error_description` of RFC 6749, or the beginning of what else was said."""
    if answer is not None and "error" in answer:
        parts = [str(answer["error"]), str(answer.get("error_description") or "")]
    else:
        parts = [" ".join(content[: SAID_CHARS_MAX * 4].decode("utf-8", "replace").split())]
    return "".join(f": {part[:SAID_CHARS_MAX]}" for part in parts if part)


def _refuse(detail: str, status: int) -> WorkflowError:
    """A refusal is final; a server that is busy or broken may answer later, as a `try` can see."""
    if status >= SERVER_ERROR or status == TOO_MANY_REQUESTS:
        return make_error(ErrorType.COMMUNICATION, detail, status=status)
    return make_error(ErrorType.AUTHENTICATION, detail)


def _find_life_s(said: Json) -> float:
    try:
        life_s = float(cast("str", said))
    except (TypeError, ValueError):
        life_s = LIFE_UNKNOWN_S
    return life_s - min(EARLY_S, life_s * EARLY_PART)


def _check_issuer(policy: Policy, token: str, address: str) -> None:
    """Whether a token that says who issued it was issued by one of `issuers`."""
    issuers = policy.properties.get("issuers")
    payload = token.split(".")[1] if token.count(".") == 2 else ""  # noqa: PLR2004 - the parts of a JWT
    try:
        claims = _parse_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        claims = None
    issuer = claims.get("iss") if claims else None
    if isinstance(issuers, list) and issuers and issuer is not None and issuer not in issuers:
        raise make_error(ErrorType.AUTHENTICATION, f"POST {address}: the token was issued by {issuer}")
