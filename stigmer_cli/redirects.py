"""What a redirect takes to another origin: nothing that tells it who asks, and no secret.

The HTTP libraries take out `Authorization` there and leave in every other header. Nobody can say which header of a
person's own holds a key, so only those are sent on that say what is asked for or sent.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from stigmer_cli.secret_values import DELIVERED

if TYPE_CHECKING:
    import httpx
    import httpx2

KEPT = frozenset(
    {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-encoding",
        "content-language",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "last-event-id",
        "pragma",
        "prefer",
        "range",
        "transfer-encoding",
        "user-agent",
    }
)
"""Headers that say what is asked for, on which condition, or what is sent; in small letters."""

Origin: TypeAlias = tuple[str, str, int | None]
"""Scheme, host, and port; None for the usual one."""

FIRST = "stigmer.first_request"
"""Where a request has what the first one of its chain of redirects was: they share their extensions."""


@dataclass(frozen=True)
class _FirstRequest:
    origin: Origin
    cookie: str | None
    withheld: tuple[str, ...]
    has_left: bool = False
    """Whether a redirect has led to another origin: what leads back from there gets nothing again."""


def is_withheld(name: str, value: str) -> bool:
    """Whether another origin must not see this header."""
    return name.lower() not in KEPT or _has_secret(value)


async def withhold_secrets(request: "httpx.Request | httpx2.Request") -> None:
    """Take out of a request that a redirect sends elsewhere what must not go there; a hook of both HTTP libraries.

    Within its origin the request keeps its own cookies, which the libraries take out. Raises ValueError where a body
    with a secret would be sent elsewhere.
    """
    first = request.extensions.get(FIRST)
    if first is None:
        withheld = tuple(name for name, value in request.headers.items() if is_withheld(name, value))
        request.extensions[FIRST] = _FirstRequest(_find_origin(request), request.headers.get("cookie"), withheld)
        return
    if not leads_elsewhere(request):
        if first.cookie is not None:
            request.headers.setdefault("cookie", first.cookie)
        return
    request.extensions[FIRST] = replace(first, has_left=True)
    for name, value in list(request.headers.items()):
        if is_withheld(name, value):
            request.headers.pop(name, None)
    if _has_secret((await request.aread()).decode("utf-8", "replace")):
        raise ValueError(
            f"it redirects to {_describe(request)}, and a body with a secret is not sent to another origin"
        )


def leads_elsewhere(request: "httpx.Request | httpx2.Request") -> bool:
    """Whether redirects have led, or lead now, to another origin than that of the first request."""
    first = request.extensions.get(FIRST)
    if first is None or first.has_left:
        return True
    return _find_origin(request) not in (first.origin, _find_upgrade(first.origin))


def describe_withheld(request: "httpx.Request | httpx2.Request") -> str:
    """Where redirects have led, and what is not sent there, as a sentence; empty if they did not lead elsewhere."""
    first = request.extensions.get(FIRST)
    if first is None or not first.has_left:
        return ""
    names = f", which is not shown {', '.join(first.withheld)}" if first.withheld else ""
    return f"it was redirected to {_describe(request)}, another origin{names}"


def _find_origin(request: "httpx.Request | httpx2.Request") -> Origin:
    return request.url.scheme, request.url.host, request.url.port


def _find_upgrade(origin: Origin) -> Origin | None:
    """The same host over TLS, each at its usual port; None where the first request was not to such a one."""
    scheme, host, port = origin
    return ("https", host, None) if scheme == "http" and port is None else None


def _has_secret(text: str) -> bool:
    return DELIVERED.redact(text) != text


def _describe(request: "httpx.Request | httpx2.Request") -> str:
    """The origin of the request: what stands behind it may be secret."""
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
