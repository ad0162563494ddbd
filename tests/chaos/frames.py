"""HTTP/2 frames as a gRPC client sends them: where one ends, which method is called, and how a call is refused.

Temporal's client (hyper) always writes `:path` as a Huffman-coded literal (RFC 7541, 6.2.2), so that the method can be
read without the state of a header table; a refusal of ours is made of literals too, and leaves that state as it is.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9
END_STREAM = 0x1
END_HEADERS = 0x4
CANCEL = 8
PATH_LITERAL = 0x04
HUFFMAN = 0x80

STATUS_200 = b"\x88"
CONTENT_TYPE = b"\x0f\x10"
"""Name 31 of the static table, without indexing."""


class FrameType(IntEnum):
    """The types that matter here."""

    DATA = 0x0
    HEADERS = 0x1
    RST_STREAM = 0x3
    WINDOW_UPDATE = 0x8


class Code(IntEnum):
    """gRPC's status codes, as far as Temporal refuses with them."""

    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNAVAILABLE = 14


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame; `raw` is all of it."""

    type: int
    stream: int
    payload: bytes
    raw: bytes


@dataclass
class Splitter:
    """Cuts a stream of bytes into frames; `preface` bytes in front of the first are passed on as they are."""

    preface: int = 0
    _rest: bytes = field(default=b"", repr=False)

    def feed(self, data: bytes) -> Iterator[bytes | Frame]:
        """What is whole now."""
        self._rest += data
        if self.preface:
            if len(self._rest) < self.preface:
                return
            yield self._rest[: self.preface]
            self._rest, self.preface = self._rest[self.preface :], 0
        while len(self._rest) >= HEAD:
            size = HEAD + int.from_bytes(self._rest[:3], "big")
            if len(self._rest) < size:
                return
            raw, self._rest = self._rest[:size], self._rest[size:]
            stream = int.from_bytes(raw[5:9], "big") & 0x7FFFFFFF
            yield Frame(type=raw[3], stream=stream, payload=raw[HEAD:], raw=raw)


def refusal(stream: int, code: Code, words: str) -> bytes:
    """The answer that ends the call on `stream` with `code`."""
    headers = [STATUS_200, CONTENT_TYPE, _text("application/grpc")]
    for name, value in (("grpc-status", str(int(code))), ("grpc-message", words)):
        headers += [b"\x00", _text(name), _text(value)]
    return _frame(FrameType.HEADERS, END_STREAM | END_HEADERS, stream, b"".join(headers))


def cancelled(stream: int) -> bytes:
    """The frame that has the server forget `stream`."""
    return _frame(FrameType.RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))


def window(size: int) -> bytes:
    """The frame that gives the client back `size` bytes of its window for the whole connection."""
    return _frame(FrameType.WINDOW_UPDATE, 0, 0, size.to_bytes(4, "big"))


def method_of(headers: Frame) -> str:
    """The method that is called, without its service; empty where the path is written in another way."""
    at = headers.payload.find(_PATH_BEGINS)
    while at >= 2:
        size = headers.payload[at - 1] & ~HUFFMAN
        if headers.payload[at - 2] == PATH_LITERAL and headers.payload[at - 1] & HUFFMAN:
            return _decoded(headers.payload[at : at + size]).rpartition("/")[2]
        at = headers.payload.find(_PATH_BEGINS, at + 1)
    return ""


def _frame(kind: FrameType, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    coded = text.encode("ascii")
    assert len(coded) < 0x7F, "short words only"
    return bytes([len(coded)]) + coded


def _codes() -> dict[str, str]:
    """RFC 7541, appendix B, for letters, digits, dot and slash, as strings of bits."""
    rows = [
        ("012aceiost", 0x0, 5),
        ("./3456789", 0x17, 6),
        ("A", 0x21, 6),
        ("_bdfghlmnpru", 0x22, 6),
        ("BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz", 0x5D, 7),
        ("XZ", 0xFC, 8),
    ]
    return {letter: f"{first + at:0{bits}b}" for letters, first, bits in rows for at, letter in enumerate(letters)}


_CODES = _codes()
_LETTERS = {bits: letter for letter, bits in _CODES.items()}


def coded(text: str) -> bytes:
    """`text` in Huffman's code, padded with ones."""
    bits = "".join(_CODES[letter] for letter in text)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


_PATH_BEGINS = coded("/temporal.api.workflowservice")[:-1]


@functools.cache
def _decoded(data: bytes) -> str:
    text, taken = "", ""
    for bit in f"{int.from_bytes(data, 'big'):0{len(data) * 8}b}":
        taken += bit
        if taken in _LETTERS:
            text += _LETTERS[taken]
            taken = ""
    return text
