"""Calls of one server over HTTP, with a deadline each, and its problems raised as what they are."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from stigmer_cli.api.now_header import NOW_HEADER
from stigmer_cli.api.query import Parameters
from stigmer_cli.errors import OperationFailed, RequestError, ServerUnavailable
from stigmer_cli.http_failures import BEFORE_REQUEST, cause_of, failure_of
from stigmer_cli.server_proof import Token
from stigmer_cli.tls.link import Link
from stigmer_cli.transport import Sender, split_lines, transport_to

CALL_MAX_S = 10.0
CONNECT_MAX_S = 2.0

B = TypeVar("B", bound=BaseModel)


class HttpCalls:
    """Calls one server. Every call has a deadline, and raises what the server's problem says.

    `token` is asked for each request, so that a rotated one is taken over. It goes only to a server that may have it
    (see server_proof.py); `is_insecure_allowed` is STIGMER_INSECURE_HTTP. A call raises ServerUnavailable where the
    server cannot be reached or stops answering, ServerUnproven where somebody else answers, and ConfigError at once for
    a URL that the token is never sent to. Who passes a `transport` answers for where it leads.
    `servers_now` is what the clock that moments are written by showed at the last answer; None before.
    """

    def __init__(
        self,
        base_url: str,
        token: Token,
        *,
        is_insecure_allowed: bool = False,
        ca_file: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`ca_file`: the authority of an https server (PEM), None: the system's; raises ConfigError for a bad file."""
        self.base_url = base_url
        self.servers_now: datetime | None = None
        self._link = Link(base_url, ca_file)
        self._http = Sender(
            base_url,
            token,
            transport or transport_to(base_url, token, self._link.context, is_insecure_allowed=is_insecure_allowed),
            timeout=httpx.Timeout(CALL_MAX_S, connect=CONNECT_MAX_S),
            answered=self._note_time,
        )

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    def _note_time(self, response: httpx.Response) -> None:
        """Keep what time it was for the server when it answered last: ages are told by the clock that wrote moments."""
        with suppress(KeyError, ValueError):
            self.servers_now = datetime.fromisoformat(response.headers[NOW_HEADER])

    async def _lines(
        self,
        method: str,
        path: str,
        timeout: httpx.Timeout,  # noqa: ASYNC109 - httpx's own, per read
        *,
        params: Mapping[str, int] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[bytes]:
        """The lines of a stream, without the empty ones that only keep it alive."""
        try:
            async with self._http.stream(
                method, path, params=params, content=content, headers=headers, timeout=timeout
            ) as response:
                if response.is_error:
                    await response.aread()
                    raise failure_of(response)
                async for line in split_lines(response.aiter_bytes()):
                    if line.strip():
                        yield line
        except httpx.TransportError as error:
            raise await self._unreachable(error) from error

    async def _get(self, path: str, kind: type[B], query: Parameters | None = None) -> B:
        return await self._parse(await self._send("GET", path, query=query), kind)

    async def _post(
        self,
        path: str,
        body: BaseModel,
        kind: type[B],
        query: Parameters | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> B:
        try:
            content = body.model_dump_json(by_alias=True).encode()
        except ValueError as error:  # nested too deeply, or with half a character
            raise RequestError(f"the request cannot be written as JSON: {error}") from error
        headers = {"Content-Type": "application/json", **(headers or {})}
        return await self._parse(await self._send("POST", path, query=query, content=content, headers=headers), kind)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Parameters | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        self._link.refresh()
        try:
            response = await self._http.request(method, path, params=params, content=content, headers=headers)
        except httpx.TransportError as error:
            raise await self._unreachable(error) from error
        if response.is_error:
            raise failure_of(response)
        return response

    async def _parse(self, response: httpx.Response, kind: type[B]) -> B:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise OperationFailed(
                f"{self.base_url} answered {response.request.url.path} with something else than {kind.__name__}",
                hint="stigmer version shows whether command and server are of one version",
            ) from error

    async def _unreachable(self, error: httpx.TransportError) -> ServerUnavailable:
        cause = await self._link.why_not(error) or cause_of(error)
        return ServerUnavailable(
            f"the server at {self.base_url} cannot be reached ({cause})",
            hint="stigmer doctor",
            retry_after_s=0.0,
            may_have_counted=not isinstance(error, BEFORE_REQUEST),
        )
