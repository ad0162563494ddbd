"""What an error of a call means: the tool's own answer, a request that the server refused, or a call without an answer.

The library reports what it could not read, and a connection that ended, as errors of the same kind as those of servers.
Such a call may have taken effect, and nobody has answered it. Only the words tell them apart.
"""

import json
from dataclasses import dataclass
from enum import Enum, auto

from stigmer_cli.domain.step import ASK_FOR_LESS, RESULT_BYTES_MAX

REFUSED = "Server returned an error response"
"""What the library says where an HTTP status refuses a request."""

NOT_FOUND = "Not Found"
"""What it says of the status 404 where the server has given it no session."""

SESSION_LOST = frozenset({"Session terminated", "Session not found"})
"""What stands for an HTTP server that was started again: it does not know its session, and has not acted."""

UNREADABLE = (
    "Failed to parse JSON response: ",
    "Failed to parse SSE message: ",
    "Unexpected content type: ",
    "server answered a request with 202 Accepted",
    "SSE stream ",
)
"""How its sentences begin about an answer over HTTP that it could not read."""

NOT_FOLLOWED = "Redirect to "
TOO_LONG = "Server-sent event exceeded the "
CLOSED = "Connection closed"

HTTP_NOT_FOUND = 404
TOO_MANY_REQUESTS = 429
NOT_ALLOWED_NOW = frozenset({401, 403, TOO_MANY_REQUESTS})
"""Who asks is not known, not allowed, or too often here: that is nothing a model could change."""

CLIENT_ERROR = 400
SERVER_ERROR = 500
SERVER_CODES = frozenset({-32_000, -32_001})
"""Codes that servers give requests of a session that they do not know, or that they do not take now."""

DATA_CHARS_MAX = 4_000


class Meaning(Enum):
    """What has become of the call."""

    ANSWERED = auto()
    """The words are the tool's answer, for the model."""

    NOT_TAKEN = auto()
    """The server did nothing: the call may be sent again."""

    LOST = auto()
    """Nobody knows whether it took effect."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What an error means, in words for people or, if it is the answer, for the model."""

    meaning: Meaning
    words: str


def describe_data(data: object) -> str:
    """What an error says beside its message, as the end of a sentence; empty where that is nothing."""
    if data in (None, "", [], {}):
        return ""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f": {text[:DATA_CHARS_MAX]}"


def read_error(code: int, message: str, *, status: int, is_http: bool) -> Reading:
    """What the error with this `code` and `message` means.

    `status` is the HTTP status that refused this call, and 0 where none did.
    """
    if message == CLOSED:
        return Reading(meaning=Meaning.LOST, words=message)
    return _read_http(code, message, status) if is_http else Reading(meaning=Meaning.ANSWERED, words=message)


def _read_http(code: int, message: str, status: int) -> Reading:
    is_refusal = CLIENT_ERROR <= status < SERVER_ERROR
    if message in SESSION_LOST and is_refusal:
        return Reading(meaning=Meaning.NOT_TAKEN, words="it knows nothing of this session any more")
    if message == REFUSED or (message == NOT_FOUND and status == HTTP_NOT_FOUND):
        words = f"it answered HTTP {status}" if status else message
        return Reading(meaning=Meaning.NOT_TAKEN if is_refusal else Meaning.LOST, words=words)
    if message.startswith(NOT_FOLLOWED) and message.count(" not followed"):
        return Reading(meaning=Meaning.NOT_TAKEN, words=" ".join(message.split()))
    if message.startswith("SSE stream ") and TOO_LONG in message:
        words = f"the result is too long to be recorded: {RESULT_BYTES_MAX:,} bytes as JSON is the most; {ASK_FOR_LESS}"
        return Reading(meaning=Meaning.ANSWERED, words=words)
    if message.startswith(UNREADABLE):
        return Reading(meaning=Meaning.LOST, words=f"its answer cannot be read: {message}")
    if is_refusal and (code in SERVER_CODES or status in NOT_ALLOWED_NOW):
        return Reading(meaning=Meaning.NOT_TAKEN, words=f"it answered HTTP {status}: {message}")
    return Reading(meaning=Meaning.ANSWERED, words=message)
