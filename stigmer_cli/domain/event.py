"""Events (CloudEvents 1.0) in their JSON format, and which of them somebody listens for."""

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stigmer_cli.json_text import dump_json, is_deeper

SPEC_VERSION = "1.0"
EVENT_BYTES_MAX = 256 * 1024
"""Of an event as JSON. The specification asks for at least 64 KiB."""

EVENT_DEPTH_MAX = 64
"""How deep an event is nested at most, itself counted: no request may be nested deeper."""

ATTRIBUTE_CHARS_MAX = 2_000
QUERIES_MAX = 1_000
EQUALS_MAX = 100

REQUIRED = ("id", "source", "specversion", "type")
NAME = re.compile(r"[a-z0-9]{1,64}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
"""RFC 3339."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
INTEGER_MAX = 2**31
WHOLE_MAX = 2.0**53
"""Up to it a double has each whole number."""

DATA = ("data", "data_base64")

EMITTED_BY = "stigmerexecution"
"""An attribute of each event that a workflow emits: the id of its execution."""

EXECUTION_VARIABLE = "STIGMER_EXECUTION_ID"
"""In the environment of what a workflow runs: an event that it sends with `stigmer events emit` has that attribute."""

CloudEvent = Mapping[str, object]
"""An event in the JSON format of CloudEvents, as `check_event` returns it."""


@dataclass(frozen=True, kw_only=True)
class EventQuery:
    """Events that somebody may take: a first choice, which is made without an expression. None: any.

    `equals` are places in the event with the text of what must be there, as `write_scalar` writes it.
    """

    type: str | None = None
    source: str | None = None
    subject: str | None = None
    equals: tuple[tuple[tuple[str, ...], str], ...] = ()

    def fits(self, event: CloudEvent) -> bool:
        """Whether `event` is one of them."""
        named = (("type", self.type), ("source", self.source), ("subject", self.subject))
        return all(wanted is None or event.get(name) == wanted for name, wanted in named) and all(
            find_scalar(event, path) == text for path, text in self.equals
        )


def check_event(value: object) -> CloudEvent:
    """`value` as an event, without the attributes that are null.

    Raises ValueError, with a sentence, where it is none.
    """
    if not isinstance(value, dict):
        raise ValueError("an event is a JSON object")  # noqa: TRY004 - the value came from outside
    if is_deeper(value, EVENT_DEPTH_MAX):
        raise ValueError(f"the event is nested deeper than {EVENT_DEPTH_MAX} levels")
    event = {str(name): inner for name, inner in value.items() if inner is not None or name == "data"}
    if missing := [name for name in REQUIRED if name not in event]:
        raise ValueError(f"the event has no {missing[0]!r}: id, source, specversion and type are required")
    if event["specversion"] != SPEC_VERSION:
        raise ValueError(f"the event has specversion {event['specversion']!r}, and only {SPEC_VERSION!r} is read")
    for name, inner in event.items():
        if name not in DATA:
            _check_attribute(name, inner)
    _check_data(event)
    _check_size(event)
    return event


def _check_size(event: CloudEvent) -> None:
    try:
        length = len(json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    except UnicodeEncodeError:
        raise ValueError("the event holds half a surrogate pair, which is no text") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the event is no JSON: {error}") from None
    if length > EVENT_BYTES_MAX:
        raise ValueError(f"the event has {length:,} bytes as JSON, and {EVENT_BYTES_MAX:,} is the most")


def _check_attribute(name: str, value: object) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name[:64]!r} is no name of an attribute: those have lower-case letters and digits only")
    if name in (*REQUIRED, "subject", "time", "datacontenttype", "dataschema") and not isinstance(value, str):
        raise ValueError(f"the attribute {name!r} is no text")
    if isinstance(value, str):
        _check_text(name, value)
    elif not isinstance(value, bool) and not (isinstance(value, int) and -INTEGER_MAX <= value < INTEGER_MAX):
        raise ValueError(f"the attribute {name!r} is no text, boolean or integer of 32 bits")


def _check_text(name: str, value: str) -> None:
    if not value:
        raise ValueError(f"the attribute {name!r} is empty")
    if len(value) > ATTRIBUTE_CHARS_MAX:
        raise ValueError(f"the attribute {name!r} is longer than {ATTRIBUTE_CHARS_MAX:,} characters")
    if CONTROL.search(value):
        raise ValueError(f"the attribute {name!r} holds a control character")
    if name == "time" and not MOMENT.fullmatch(value):
        raise ValueError(f"the attribute 'time' is no time as in RFC 3339: {value[:64]!r}")


def _check_data(event: CloudEvent) -> None:
    if "data_base64" not in event:
        return
    encoded = event["data_base64"]
    if event.get("data") is not None:
        raise ValueError("the event has both data and data_base64")
    try:
        b64decode(encoded if isinstance(encoded, str) else "*", validate=True)
    except ValueError:
        raise ValueError("data_base64 is no text in base64") from None


def identify_event(event: CloudEvent) -> str:
    """A hash of source and id: it is the same for the same event, however often that is sent."""
    source, id_ = str(event["source"]), str(event["id"])
    return hashlib.sha256(f"{len(source)}:{source}{id_}".encode("utf-8", "surrogatepass")).hexdigest()


def find_scalar(value: object, path: Sequence[str]) -> str | None:
    """The text of what is at `path` of `value`; None where nothing is, or no scalar."""
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return write_scalar(value)


def write_scalar(value: object) -> str | None:
    """A text, number or boolean as text, so that 5, 5.0 and "5" are equal; None for null, lists and mappings."""
    if value is None or isinstance(value, (dict, list, tuple)):
        return None
    if isinstance(value, float) and abs(value) < WHOLE_MAX and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def read_event(event: CloudEvent, form: str) -> object:
    """What a task or a schedule sees of `event` that reads it as `data`, `envelope` or `raw`."""
    data = event.get("data", event.get("data_base64"))
    if form == "raw":
        return data if isinstance(data, str) else dump_json(data)
    return event if form == "envelope" else data


def hash_equals(event: CloudEvent, paths: Sequence[Sequence[str]]) -> str | None:
    """A hash of what `event` has at `paths`; None where something is missing there."""
    texts = [find_scalar(event, path) for path in paths]
    return None if None in texts else hash_texts([text for text in texts if text is not None])


def hash_texts(texts: Sequence[str]) -> str:
    """A hash of `texts`."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()[:32]
