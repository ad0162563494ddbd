"""Authenticates calls by the policies of the DSL: basic, bearer, digest, OAuth 2.0, OpenID Connect."""

from collections.abc import AsyncGenerator, Mapping

import httpx

from stigmer_cli.clock import Clock, SystemClock
from stigmer_cli.runner.call.token_source import TokenSource
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.error import ErrorType, make_error

UNAUTHORIZED = 401


class Authenticator:
    """What requests show, by policy. One for a runner: it keeps the tokens that authorities have issued."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock | None = None) -> None:
        """`client` asks for tokens."""
        self._tokens = TokenSource(client, clock or SystemClock())

    async def list_headers(self, policy: Policy | None) -> Mapping[str, str]:
        """The headers that authenticate a request or a connection; none without a policy.

        Raises WorkflowError: no token can be had, or digest, whose headers answer a challenge.
        """
        if policy is None:
            return {}
        match policy.scheme:
            case "basic":
                return {"Authorization": f"Basic {policy.pair}"}
            case "bearer":
                return {"Authorization": f"Bearer {policy.properties.get('token', '')}"}
            case "oauth2" | "oidc":
                return (await self._tokens.find(policy)).list_headers()
            case scheme:
                raise make_error(ErrorType.CONFIGURATION, f"{scheme} authenticates requests over HTTP only")

    def make_auth(self, policy: Policy | None) -> httpx.Auth | None:
        """The same for a request of httpx; digest is answered, and a token that a service refuses is replaced once."""
        if policy is None:
            return None
        if policy.scheme == "digest":
            values = policy.properties
            return httpx.DigestAuth(str(values.get("username", "")), str(values.get("password", "")))
        return _TokenAuth(self._tokens, policy) if policy.scheme in {"oauth2", "oidc"} else _HeaderAuth(self, policy)


class _HeaderAuth(httpx.Auth):
    def __init__(self, authenticator: Authenticator, policy: Policy) -> None:
        self._authenticator = authenticator
        self._policy = policy

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        request.headers.update(await self._authenticator.list_headers(self._policy))
        yield request


class _TokenAuth(httpx.Auth):
    def __init__(self, tokens: TokenSource, policy: Policy) -> None:
        self._tokens = tokens
        self._policy = policy

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._tokens.find(self._policy)
        request.headers.update(token.list_headers())
        response = yield request
        if response.status_code == UNAUTHORIZED:
            other = await self._tokens.find(self._policy, refused=token)
            if other is not token:
                request.headers.update(other.list_headers())
                yield request
