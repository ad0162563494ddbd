"""Events in a request: the three modes of the HTTP binding of CloudEvents 1.0.

content type                          what the body is
application/cloudevents+json          an event (structured mode)
application/cloudevents-batch+json    a list of events (batched mode)
any, with headers ce-...              the data of the event whose attributes the headers are (binary mode)
application/json, without them        an event, or a list of events
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from stigmer_cli.api.cloud_events import BATCH_MAX
from stigmer_cli.domain.event import CloudEvent, check_event
from stigmer_cli.errors import RequestError
from stigmer_cli.json_text import read_json

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
JSON = "application/json"
PREFIX = "ce-"
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
ESCAPED = re.compile(r"\\(.)")
HINT = "stigmer help events shows each form of a request"


def parse_events(headers: Mapping[str, str], body: bytes) -> Sequence[CloudEvent]:
    """The events of a request; the names of `headers` are in lower case. Raises RequestError."""
    media, charset = _split(headers.get("content-type", ""))
    if media in (STRUCTURED, BATCHED):
        values = _read_list(body, is_batch=media == BATCHED)
    elif any(name.startswith(PREFIX) for name in headers):
        values = [_read_binary(headers, media, charset, body)]
    elif media == JSON:
        values = _read_list(body, is_batch=None)
    else:
        raise RequestError(f"a request with content type {media[:100]!r} has headers ce-id, ce-type, ...", hint=HINT)
    if len(values) > BATCH_MAX:
        raise RequestError(f"{len(values)} events are too many for one request: {BATCH_MAX} is the most", hint=HINT)
    return [_check(value, number if len(values) > 1 else None) for number, value in enumerate(values)]


def _split(content_type: str) -> tuple[str, str]:
    media, _, parameters = content_type.partition(";")
    charset = next((p.partition("=")[2] for p in parameters.split(";") if p.strip().lower().startswith("charset")), "")
    return media.strip().lower(), charset.strip().strip('"') or "utf-8"


def _read_list(body: bytes, *, is_batch: bool | None) -> Sequence[object]:
    value = _parse_json(body)
    if is_batch is None:
        is_batch = isinstance(value, list)
    if not is_batch:
        return [value]
    if not isinstance(value, list):
        raise RequestError("a batch is a JSON list of events", hint=HINT)
    return value


def _parse_json(body: bytes) -> object:
    try:
        return read_json(body)
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}", hint=HINT) from None


def _read_binary(headers: Mapping[str, str], media: str, charset: str, body: bytes) -> object:
    event: dict[str, object] = {
        name.removeprefix(PREFIX): _read_header(name, value)
        for name, value in headers.items()
        if name.startswith(PREFIX)
    }
    if not body:
        return event
    if media:
        event["datacontenttype"] = headers["content-type"]
    if not media or media == JSON or media.endswith("+json"):
        return {**event, "data": _parse_json(body)}
    if media.startswith("text/"):
        try:
            return {**event, "data": body.decode(charset)}
        except (UnicodeDecodeError, LookupError):
            raise RequestError(f"the body is no text in {charset[:40]!r}", hint=HINT) from None
    return {**event, "data_base64": b64encode(body).decode()}


def _read_header(name: str, value: str) -> str:
    """The value as it was before it became a header: unquoted, and then percent-decoded, once.

    What is no UTF-8 then has to be refused (HTTP protocol binding 1.0.2, 3.1.3.2).
    """
    if QUOTED.fullmatch(value):
        value = ESCAPED.sub(r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise RequestError(f"the header {name} is no UTF-8 once it is percent-decoded", hint=HINT) from None


def _check(value: object, number: int | None) -> CloudEvent:
    try:
        return check_event(value)
    except ValueError as error:
        where = "" if number is None else f"event {number + 1} of the batch: "
        raise RequestError(f"{where}{error}", hint=HINT) from None
