"""The values of secrets that this process has had in its hands, and their removal from text that leaves it.

Logs, errors on the wire and what a runner reports all pass through `DELIVERED`. It is one object for the process,
because a log line or an error does not say which secrets it may hold.
"""

import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from typing import TypeAlias
from urllib.parse import quote, quote_plus, unquote

from stigmer_cli.json_text import dump_json

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

GONE = "[redacted]"
LITERAL_MIN = 6
"""Shorter values are not taken out: `1` occurs everywhere."""

TELLING = re.compile(r"(?i)key|token|secret|passw|passphrase|credential")
"""In the name of a member of a JSON object: its value is secret by itself."""

URL_SECRETS = (
    # the password of a URL: up to the last @, for one that was not quoted may hold one itself
    (
        re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/:@\[\"']{0,200}:)(?!\d{1,5}[/?#])[^\s\"']{1,300}@"),
        rf"\1{GONE}@",
    ),
    # what stands there alone is as often a token as a name
    (re.compile(r"(?i)\b((?:https?|wss?)://)[^\s/:@?#\"']{1,200}@"), rf"\1{GONE}@"),
)
"""What in a URL is secret, and what to show instead; section 3.2.1 of RFC 3986."""

ESCAPE = re.compile("%[0-9A-F]{2}")
BASE64_MIN = 8
"""Digits; fewer of them occur by accident."""

ISSUED_MAX = 1_000
"""The oldest token is forgotten after so many different ones: services issue them without end. What a person has set
is never forgotten."""


class SecretValues:
    """Values that may occur in text, in every spelling."""

    def __init__(self) -> None:
        self._set: dict[str, set[str]] = {}
        self._issued: dict[str, set[str]] = {}
        self._longest_first: tuple[str, ...] | None = ()

    def remember(self, value: str) -> None:
        """Take `value`, which a person has set, out of every text from now on, also after it was changed or deleted."""
        if len(value) < LITERAL_MIN or value in self._set:
            return
        self._issued.pop(value, None)
        self._set[value] = spellings(value)
        self._longest_first = None

    def remember_issued(self, value: str) -> None:
        """Take `value`, a token that a service issued, out of every text, until ISSUED_MAX newer ones are known."""
        if len(value) < LITERAL_MIN or value in self._set:
            return
        if value in self._issued:  # it is the newest again
            self._issued[value] = self._issued.pop(value)
            return
        self._issued[value] = spellings(value)
        if len(self._issued) > ISSUED_MAX:
            del self._issued[next(iter(self._issued))]
        self._longest_first = None

    def redact(self, text: str) -> str:
        """`text` without them."""
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, GONE)
        return text

    def redact_json(self, text: str) -> str:
        """`text`, a JSON document, without them; it stays JSON: a text stands where a number held one."""
        return text if self.redact(text) == text else dump_json(self._redact_value(json.loads(text)))

    def redact_report(self, text: str, *, ours: Collection[str]) -> str:
        """The same for a JSON object of ours: its numbers, and its members `ours`, hold nothing that anybody said."""
        return text if self.redact(text) == text else dump_json(self._redact_value(json.loads(text), ours))

    def _redact_value(self, value: Json, ours: Collection[str] | None = None) -> Json:
        match value:
            case str():
                return self.redact(value)
            case bool() | None:
                return value
            case int() | float():
                return value if ours is not None or self.redact(written := json.dumps(value)) == written else GONE
            case dict():
                return {
                    self.redact(name): one if ours and name in ours else self._redact_value(one, ours)
                    for name, one in value.items()
                }
            case _:
                return [self._redact_value(one, ours) for one in value]

    @property
    def _spellings(self) -> tuple[str, ...]:
        if self._longest_first is None:
            kept = (*self._set.values(), *self._issued.values())
            self._longest_first = _sort({one for found in kept for one in found})
        return self._longest_first

    def split_safe(self, text: str) -> tuple[str, str]:
        """`text` in two: what can be told, and an end that may be the beginning of a value."""
        begin = min((_begin_of(spelling, text) for spelling in self._spellings), default=len(text))
        return text[:begin], text[begin:]


class RedactedStream:
    """A text that comes in pieces, without the values in it, wherever the pieces were cut."""

    def __init__(self, values: SecretValues) -> None:
        self._values = values
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be told by now; the rest is told with a later piece, or by `close`."""
        told, self._held = self._values.split_safe(self._values.redact(self._held + piece))
        return told

    def close(self) -> str:
        """What was held back."""
        rest, self._held = self._held, ""
        return rest


DELIVERED = SecretValues()
"""Those of this process."""


def hide_url_secrets(text: str) -> str:
    """`text` without the passwords of the URLs in it, whoever has set them."""
    for pattern, instead in URL_SECRETS:
        text = pattern.sub(instead, text)
    return text


def redact_sentence(text: str) -> str:
    """`text`, which people wrote for people, without the values of this process and the passwords of URLs.

    What agents and tools answer is data, in which a URL stays as it is.
    """
    return hide_url_secrets(DELIVERED.redact(text))


def longest_first(values: Iterable[str]) -> tuple[str, ...]:
    """Every spelling of `values`, so that one that contains another comes before it."""
    return _sort({one for value in values for one in spellings(value)})


def spellings(value: str) -> set[str]:
    """As it is, line by line, and as Python, JSON, JSON within JSON, a URL, and Base64 write it."""
    lines = (line.strip() for line in value.splitlines())
    plain = {value, value.strip(), unquote(value), *lines, *_secret_leaves(value)}
    found: set[str] = set()
    for one in plain:
        if len(one) >= LITERAL_MIN:
            written = {one, repr(one)[1:-1]}
            once = {form for text in written for form in _in_json(text)}
            twice = {form for text in once for form in _in_json(text)}
            found |= written | once | twice
            found |= set(_in_urls(one)) | set(_in_base64(one.encode("utf-8", "replace")))
    return found


def _in_urls(text: str) -> Iterator[str]:
    for safe in ("", "/"):
        found = quote(text, safe=safe, errors="replace")
        yield from (found, ESCAPE.sub(lambda escape: escape[0].lower(), found))
    yield quote_plus(text, errors="replace")


def _in_base64(data: bytes) -> Iterator[str]:
    """As it is by itself, and what of it is the same wherever it begins in what is encoded, such as `user:VALUE`.

    Three bytes are four digits. So there are three ways, and the digits that hold bits of a neighbour are left out.
    """
    yield b64encode(data).decode("ascii")
    for before in range(3):
        digits = b64encode(bytes(before) + data).decode("ascii")
        own = digits[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        if len(own) >= BASE64_MIN:
            yield from (own, own.replace("+", "-").replace("/", "_"))


def _secret_leaves(value: str) -> Iterator[str]:
    """Where `value` is a JSON object, such as the key file of a service account: what in it has a telling name."""
    if not value.lstrip().startswith("{"):
        return
    try:
        pending: list[object] = [json.loads(value)]
    except (ValueError, RecursionError):
        return
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            pending += found.values()
            yield from (one for name, one in found.items() if isinstance(one, str) and TELLING.search(name))
        elif isinstance(found, list):
            pending += found


def _in_json(text: str) -> tuple[str, str]:
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def _sort(found: set[str]) -> tuple[str, ...]:
    return tuple(sorted(found, key=lambda one: (-len(one), one)))


def _begin_of(spelling: str, text: str) -> int:
    """Where in `text` an end begins that is also the beginning of `spelling`; the length of `text` for nowhere."""
    at = text.find(spelling[0], max(0, len(text) - len(spelling) + 1))
    while at >= 0 and not spelling.startswith(text[at:]):
        at = text.find(spelling[0], at + 1)
    return len(text) if at < 0 else at
