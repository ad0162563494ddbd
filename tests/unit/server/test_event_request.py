"""Events in requests, in the modes of the HTTP binding of CloudEvents 1.0."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from stigmer_cli.errors import RequestError
from stigmer_cli.server.event_request import parse_events

EVENT: Mapping[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}
PLAIN = {"content-type": "application/json"}


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (STRUCTURED, dump({**EVENT, "data": {"a": 1}, "subject": None}), [{**EVENT, "data": {"a": 1}}]),
        (PLAIN, dump(EVENT), [EVENT]),
        (PLAIN, dump([EVENT, {**EVENT, "id": "2"}]), [EVENT, {**EVENT, "id": "2"}]),
        (BATCHED, dump([EVENT]), [EVENT]),
        (BATCHED, b"[]", []),
        (HEADERS, b"", [EVENT]),
        (
            {**HEADERS, **PLAIN, "ce-subject": "caf%C3%A9 %25", "ce-orderid": "5"},
            b'{"a":1}',
            [
                {
                    **EVENT,
                    "subject": "caf\u00e9 %",
                    "orderid": "5",
                    "datacontenttype": "application/json",
                    "data": {"a": 1},
                }
            ],
        ),
        (
            {**HEADERS, "ce-subject": '"a \\"b\\" c%2520"', "ce-comexampleextension": "%65"},
            b"",
            [{**EVENT, "subject": 'a "b" c%20', "comexampleextension": "e"}],
        ),
        (
            {**HEADERS, "content-type": "application/vnd.x+json"},
            b"[1]",
            [{**EVENT, "datacontenttype": "application/vnd.x+json", "data": [1]}],
        ),
        (
            {**HEADERS, "content-type": "text/plain; charset=latin-1"},
            b"caf\xe9",
            [{**EVENT, "datacontenttype": "text/plain; charset=latin-1", "data": "caf\u00e9"}],
        ),
        (
            {**HEADERS, "content-type": "image/png"},
            b"\x00\xff",
            [{**EVENT, "datacontenttype": "image/png", "data_base64": "AP8="}],
        ),
    ],
)
def test_each_mode_is_read(headers: Mapping[str, str], body: bytes, expected: object) -> None:
    assert list(parse_events(headers, body)) == expected


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({}, b"", "has headers ce-id"),
        ({"content-type": "text/plain"}, b"x", "content type 'text/plain'"),
        (STRUCTURED, b"{", "the body is not JSON"),
        (STRUCTURED, b'{"data": NaN}', "NaN is not allowed"),
        (STRUCTURED, dump([EVENT]), "an event is a JSON object"),
        (BATCHED, dump(EVENT), "a batch is a JSON list"),
        (BATCHED, dump([EVENT, {**EVENT, "type": ""}]), "event 2 of the batch: the attribute 'type' is empty"),
        (BATCHED, dump([EVENT] * 501), "501 events are too many"),
        (STRUCTURED, dump({**EVENT, "specversion": "0.3"}), "specversion '0.3'"),
        (STRUCTURED, dump({"type": "t"}), "the event has no 'id'"),
        (STRUCTURED, dump({**EVENT, "Subject": "x"}), "'Subject' is no name of an attribute"),
        (STRUCTURED, dump({**EVENT, "time": "yesterday"}), "'time' is no time as in RFC 3339"),
        (STRUCTURED, dump({**EVENT, "id": 5}), "the attribute 'id' is no text"),
        (STRUCTURED, dump({**EVENT, "a": {"b": 1}}), "the attribute 'a' is no text, boolean or integer"),
        (STRUCTURED, dump({**EVENT, "a": 2**31}), "the attribute 'a' is no text, boolean or integer"),
        (STRUCTURED, dump({**EVENT, "id": "a\u0000b"}), "holds a control character"),
        (STRUCTURED, dump({**EVENT, "data": 1, "data_base64": "AA=="}), "both data and data_base64"),
        (STRUCTURED, dump({**EVENT, "data_base64": "*"}), "data_base64 is no text in base64"),
        (STRUCTURED, dump({**EVENT, "data": "x" * 300_000}), "262,144 is the most"),
        ({**HEADERS, "content-type": "text/plain; charset=none"}, b"x", "no text in 'none'"),
        ({**HEADERS, **PLAIN}, b"{", "the body is not JSON"),
        ({**HEADERS, "ce-subject": "%ff"}, b"", "the header ce-subject is no UTF-8"),
    ],
)
def test_what_is_no_event_is_refused_in_words(headers: Mapping[str, str], body: bytes, words: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_events(headers, body)
    assert words in refused.value.message


@pytest.mark.parametrize("mode", ["structured", "batched", "binary"])
@pytest.mark.parametrize(
    ("data", "words"),
    [('{"a":"\\ud83d"}', "half a surrogate pair"), ("[" * 70 + "]" * 70, "nested deeper than 64 levels")],
)
def test_what_no_answer_could_carry_is_refused_in_every_mode(mode: str, data: str, words: str) -> None:
    whole = json.dumps(EVENT)[:-1] + f', "data": {data}}}'
    headers, body = {
        "structured": (STRUCTURED, whole),
        "batched": (BATCHED, f"[{whole}]"),
        "binary": (HEADERS, data),
    }[mode]
    with pytest.raises(RequestError, match=words):
        parse_events(headers, body.encode())
