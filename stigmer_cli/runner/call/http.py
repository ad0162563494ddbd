"""`call: http`: a request, and its response in the form that the task asks for."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import unquote_plus

import httpx

from stigmer_cli.domain.step import Effect
from stigmer_cli.json_text import read_json
from stigmer_cli.proxies import NO_PROXIES, Proxies
from stigmer_cli.redirects import describe_withheld
from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.runner.call.following import send
from stigmer_cli.runner.call.proxied_transport import ProxiedTransport
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Methods that are idempotent: section 9.2.2 of RFC 9110."""

CONTENT_BYTES_MAX = 6 * 1024 * 1024
"""How long a response may be: as base64 it still fits a step of the journal."""

CONNECT_S_MAX = 10.0
SILENT_S_MAX = 300.0
"""How long a server may take for its next byte; the timeout of a task may be shorter."""

REDIRECTS_MAX = 20
EXCERPT_MAX = 300
CHALLENGE_UNKNOWN = (KeyError, NotImplementedError)
"""What the library raises for a digest by an algorithm or a quality of protection that it does not know."""

SUCCESS_STATUS = range(200, 300)
REDIRECTED_STATUS = range(200, 400)
JSON_TYPES = ("application/json", "text/json")


class HttpCall:
    """Sends requests with one client, which keeps connections."""

    def __init__(self, client: httpx.AsyncClient, authenticator: Authenticator) -> None:
        self._client = client
        self._authenticator = authenticator

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        """By the method."""
        return Effect.REPEATABLE if str(arguments["method"]).upper() in REPEATABLE else Effect.ONCE

    async def perform(self, request: CallRequest) -> Json:
        """The content, the base64 of it, or request and response, as `output` says.

        Raises WorkflowError: of the type communication for an answer outside 200 to 299 (with `redirect`: 399), and
        where there is none; of the type authentication where the policy of the request leads to nothing.
        """
        arguments = request.arguments
        is_redirected = arguments.get("redirect") is True
        try:
            built = _build(self._client, request)
            auth = self._authenticator.make_auth(request.policy)
            async with self._send(built, auth, is_redirected=is_redirected) as response:
                content = await read_content(response)
        except CHALLENGE_UNKNOWN as error:
            detail = f"{_describe_target(arguments)}: the challenge of the server is not understood: {error}"
            raise make_error(ErrorType.AUTHENTICATION, detail) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError) as error:
            detail = f"{_describe_target(arguments)}: {str(error) or type(error).__name__}"
            raise make_error(ErrorType.COMMUNICATION, detail) from error
        if response.status_code not in (REDIRECTED_STATUS if is_redirected else SUCCESS_STATUS):
            raise refuse_response(_describe_target(arguments), response, content)
        return _format(str(arguments.get("output", "content")), response, content)

    @asynccontextmanager
    async def _send(
        self, request: httpx.Request, auth: httpx.Auth | None, *, is_redirected: bool
    ) -> AsyncIterator[httpx.Response]:
        response = await send(self._client, request, auth, follows=is_redirected)
        try:
            yield response
        finally:
            await response.aclose()


def make_http_client(proxies: Proxies = NO_PROXIES) -> httpx.AsyncClient:
    """A client for the calls of workflows, which asks through `proxies`. Close it when the runner ends."""
    timeout = httpx.Timeout(SILENT_S_MAX, connect=CONNECT_S_MAX)
    client = httpx.AsyncClient(
        timeout=timeout, max_redirects=REDIRECTS_MAX, transport=ProxiedTransport(proxies), trust_env=False
    )
    # What a server sets for one execution would be sent with the calls of another.
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return client


def _build(client: httpx.AsyncClient, request: CallRequest) -> httpx.Request:
    arguments = request.arguments
    own = _read_mapping(arguments, "headers")
    written = {key: _write(value) for key, value in own.items() if value is not None}
    headers = httpx.Headers(written, encoding="utf-8")  # as most clients send what is no ASCII
    headers.setdefault("Idempotency-Key", request.idempotency_key)
    content = _encode(arguments.get("body"), headers)
    url = httpx.URL(str(arguments["endpoint"]))
    query = _read_mapping(arguments, "query")
    if query:
        url = url.copy_with(query=_join_query(url.query.decode("ascii"), _write_pairs(query)).encode() or None)
    return client.build_request(str(arguments["method"]).upper(), url, headers=headers, content=content)


def _join_query(own: str, pairs: Mapping[str, str | list[str]]) -> str:
    """The query `own` of an address and `pairs`, which come in place of what has their names there.

    What the address has stays as it is written: to encode a comma, say, would make it another address (section 2.2 of
    RFC 3986).
    """
    kept = [part for part in own.split("&") if part and unquote_plus(part.partition("=")[0]) not in pairs]
    return "&".join([*kept, *filter(None, [str(httpx.QueryParams(pairs))])])


def _read_mapping(arguments: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = arguments.get(name) or {}
    if not isinstance(value, Mapping):
        raise make_error(ErrorType.CONFIGURATION, f"the {name} of the call are no mapping: {str(value)[:EXCERPT_MAX]}")
    return value


def _encode(body: Json, headers: httpx.Headers) -> bytes | None:
    """The body as bytes: a text as it is, a mapping as a form where the content type asks for one, all else as JSON."""
    if body is None:
        return None
    if isinstance(body, str):
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        return body.encode()
    kind = headers.get("Content-Type", "").lower()
    if isinstance(body, Mapping) and kind.startswith("application/x-www-form-urlencoded"):
        return str(httpx.QueryParams(_write_pairs(body))).encode()
    if isinstance(body, Mapping) and kind.startswith("multipart/form-data"):
        return _encode_parts(body, headers)
    headers.setdefault("Content-Type", "application/json")
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _encode_parts(body: Mapping[str, Json], headers: httpx.Headers) -> bytes:
    """A form of parts, and its boundary in `headers`."""
    parts = [
        (name, (None, text))
        for name, value in _write_pairs(body).items()
        for text in (value if isinstance(value, list) else [value])
    ]
    form = httpx.Request("POST", "http://localhost", files=parts)
    headers["Content-Type"] = form.headers["Content-Type"]
    return form.read()


def _write(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_pairs(given: Mapping[str, Json]) -> Mapping[str, str | list[str]]:
    """Names and values as a query or a form has them. What is null is left out: there it can only be left out."""
    return {
        name: [_write(item) for item in value if item is not None] if isinstance(value, list) else _write(value)
        for name, value in given.items()
        if value is not None
    }


async def read_content(response: httpx.Response) -> bytes:
    """The whole content. Raises ValueError where it is longer than CONTENT_BYTES_MAX, and httpx.HTTPError."""
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > CONTENT_BYTES_MAX:
            raise ValueError(f"the response is longer than {CONTENT_BYTES_MAX:,} bytes")
    return bytes(content)


def refuse_response(what: str, response: httpx.Response, content: bytes) -> WorkflowError:
    """The error for an answer that is no success; `what` was asked."""
    phrase = response.reason_phrase or "Error"
    said = " ".join(content[: EXCERPT_MAX * 4].decode("utf-8", "replace").split())[:EXCERPT_MAX]
    parts = (f"{what}: {response.status_code} {phrase}", said, describe_withheld(response.request))
    detail = ": ".join(filter(None, parts))
    return make_error(ErrorType.COMMUNICATION, detail, status=response.status_code, title=phrase)


def read_headers(response: httpx.Response) -> dict[str, Json]:
    """The headers, a text each, as the DSL has them. Of several cookies each is a line: they hold commas themselves."""
    cookies = response.headers.get_list("set-cookie")
    return {**response.headers, **({"set-cookie": "\n".join(cookies)} if cookies else {})}


def _describe_target(arguments: Mapping[str, Json]) -> str:
    return f"{str(arguments['method']).upper()} {arguments['endpoint']}"


def _format(form: str, response: httpx.Response, content: bytes) -> Json:
    match form:
        case "raw":
            return base64.b64encode(content).decode()
        case "response":
            request = response.request
            return {
                "request": {  # what the task authenticated with is recorded nowhere
                    "method": request.method,
                    "uri": str(request.url.copy_with(userinfo=b"")),
                    "headers": {key: value for key, value in request.headers.items() if key != "authorization"},
                },
                "statusCode": response.status_code,
                "headers": read_headers(response),
                "content": _parse(response, content),
            }
        case _:
            return _parse(response, content)


def _parse(response: httpx.Response, content: bytes) -> Json:
    """JSON as its value, text as text, anything else as base64; null for nothing. Raises WorkflowError."""
    if not content:
        return None
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in JSON_TYPES or kind.endswith("+json"):
        try:
            return _parse_json(response, content)
        except ValueError as error:
            detail = f"{response.request.url} answered with no JSON: {error}"
            raise make_error(ErrorType.COMMUNICATION, detail) from error
    is_text = (
        not kind or kind.startswith("text/") or kind.endswith(("xml", "javascript", "yaml", "x-www-form-urlencoded"))
    )
    found = _decode_text(response, content) if is_text else None
    return base64.b64encode(content).decode() if found is None else found


def _decode_text(response: httpx.Response, content: bytes) -> str | None:
    """The text, in UTF-8 where nobody knows the charset that the server names; None where it is none."""
    try:
        return content.decode(response.charset_encoding or "utf-8")
    except LookupError:
        with suppress(UnicodeDecodeError):
            return content.decode()
    except UnicodeDecodeError:
        pass
    return None


def _parse_json(response: httpx.Response, content: bytes) -> Json:
    """JSON is UTF-8 (RFC 8259); what is none may be in the charset that old servers name. Raises ValueError."""
    try:
        found: Json = read_json(content)
    except UnicodeDecodeError as error:
        try:
            found = read_json(content.decode(response.charset_encoding or "utf-8"))
        except LookupError:  # nobody knows the charset
            raise error from None
    return found
