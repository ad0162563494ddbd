"""What a failed HTTP exchange with the server means: an answer that is an error, and a connection that broke."""

import json
import re

import httpx
from pydantic import ValidationError

from stigmer_cli.api.problem import Problem, error_of
from stigmer_cli.errors import OperationFailed, ServerBusy, ServerUnavailable, TemporalUnavailable, Unavailable

AWAY = frozenset({429, 502, 503, 504})
NUMBER = re.compile(r"^\[Errno -?\d+\] ")
"""What Python writes before the system's words."""

BEFORE_REQUEST = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""What fails while nothing of the request has been sent."""


def cause_of(error: httpx.TransportError) -> str:
    """In words, why there was no answer."""
    match error:
        case httpx.ConnectTimeout() | httpx.ReadTimeout() | httpx.WriteTimeout() | httpx.PoolTimeout():
            return "no answer in time"
        case httpx.ConnectError():
            said = NUMBER.sub("", str(error))
            return "connection refused" if "refused" in said or "attempts failed" in said else said
        case _:
            return "the connection broke"


def failure_of(response: httpx.Response) -> Exception:
    """The error that `response` tells; what a proxy in between says of a server that is away counts as that."""
    try:
        error = error_of(Problem.model_validate(json.loads(response.content)))
    except (ValueError, ValidationError):
        where = response.request.url.netloc.decode()
        if response.status_code in AWAY:
            return ServerUnavailable(
                f"the server behind {where} cannot be reached (status {response.status_code})",
                hint="stigmer doctor",
                retry_after_s=_retry_after_s(response),
                may_have_counted=True,
            )
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:  # it is a server all the same
            return OperationFailed(
                f"the server at {where} failed on this request (status {response.status_code})",
                hint="stigmer logs server",
            )
        return OperationFailed(
            f"{where} answered {response.status_code} and is not a Stigmer server", hint="stigmer config get server_url"
        )
    if isinstance(error, Unavailable) and not isinstance(error, TemporalUnavailable | ServerBusy):
        error.may_have_counted = True  # a database that went away in the middle of a commit, say
    return error


def _retry_after_s(response: httpx.Response) -> float:
    """Retry-After in seconds (RFC 9110, 10.2.3); a date says nothing between two clocks."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() else 0.0
