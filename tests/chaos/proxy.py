"""A proxy that hurts what goes through it: as TCP (delay, slices, silence, cuts, resets), and as gRPC (refusals)."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, cast

from tests.chaos.frames import PREFACE, Code, Frame, FrameType, Splitter, cancelled, method_of, refusal, window

CHUNK = 16_384
STOP_MAX_S = 2.0
RETRANSMIT_S = 0.2
"""What a lost segment costs: Linux waits at least this long before it sends it again, and all behind it waits too."""

ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends a reset."""


@dataclass(frozen=True, kw_only=True)
class Refusing:
    """Which calls are refused: those whose method begins with one of `methods`, by `chance`, with one of `answers`."""

    answers: tuple[tuple[Code, str], ...]
    methods: tuple[str, ...] = ("",)
    chance: float = 1.0

    def of(self, method: str, rng: random.Random) -> tuple[Code, str] | None:
        """How a call of `method` is refused; None where it is not."""
        if method.startswith(self.methods) and rng.random() < self.chance:
            return rng.choice(self.answers)
        return None


@dataclass(frozen=True, kw_only=True)
class Toxics:
    """What is done to the bytes. `up` is towards the server; chances from 0 to 1; 0 of anything is nothing."""

    is_refusing: bool = False
    is_silent_up: bool = False
    is_silent_down: bool = False
    latency_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    bytes_a_second: int = 0
    slice_bytes: int = 0
    cut_after_bytes: int = 0
    slow_close_s: float = 0.0
    calls: Refusing | None = None


@dataclass(eq=False)
class Link:
    """One client's connection and its other half."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    carried: int = 0
    refused: set[int] = field(default_factory=set)

    def reset(self) -> None:
        """End both halves with a reset."""
        for writer in (self.client, self.server):
            raw = writer.get_extra_info("socket")
            with suppress(OSError, AttributeError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            writer.transport.abort()


@dataclass
class Proxy:
    """Listens on a free port and passes on to `to_port`, on loopback. Use it as an async context manager.

    `calls` counts the calls of each method that came, refused or not.
    """

    to_port: int
    rng: random.Random
    toxics: Toxics = field(default_factory=Toxics)
    links: set[Link] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    _meetings: set[asyncio.Task[None]] = field(default_factory=set)
    _resets: int = 0
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, limit=CHUNK)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.toxics = Toxics()
        self.reset()
        while self._meetings:
            _done, late = await asyncio.wait(self._meetings, timeout=STOP_MAX_S)
            for meeting in late:
                meeting.cancel()
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def reset(self) -> None:
        """Reset every connection there is, and every one that is just being opened."""
        self._resets += 1
        for link in tuple(self.links):
            link.reset()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meeting = cast("asyncio.Task[Any]", asyncio.current_task())
        self._meetings.add(meeting)
        meeting.add_done_callback(self._meetings.discard)
        resets = self._resets
        try:
            if self.toxics.is_refusing:
                raise ConnectionRefusedError
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.to_port, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        link = Link(writer, to_writer)
        if self._resets != resets:
            link.reset()
            return
        self.links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(link, reader, to_writer, is_up=True))
                group.create_task(self._carry(link, to_reader, writer, is_up=False))
        finally:
            link.reset()
            self.links.discard(link)

    async def _carry(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_up: bool
    ) -> None:
        splitter = Splitter(preface=len(PREFACE) if is_up else 0)
        with suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(CHUNK):
                await self._held(is_up=is_up)
                whole = b"".join(self._let_through(link, splitter.feed(data), is_up=is_up))
                await self._passed_on(link, writer, whole)
        if self.toxics.slow_close_s:
            await asyncio.sleep(self.toxics.slow_close_s)
        link.reset()

    def _let_through(self, link: Link, parts: Iterator[bytes | Frame], *, is_up: bool) -> Iterator[bytes]:
        for part in parts:
            if isinstance(part, bytes):
                yield part
            elif is_up:
                yield from self._asked(link, part)
            elif part.stream not in link.refused:
                yield part.raw

    def _asked(self, link: Link, frame: Frame) -> Iterator[bytes]:
        """What of `frame` goes on to the server; a refused call is answered here, and the server forgets it."""
        if frame.stream in link.refused:
            if frame.type == FrameType.DATA and frame.payload:
                link.client.write(window(len(frame.payload)))
            return
        yield frame.raw
        if frame.type != FrameType.HEADERS:
            return
        method = method_of(frame)
        self.calls[method] += 1
        answer = self.toxics.calls.of(method, self.rng) if self.toxics.calls else None
        if answer is not None:
            link.refused.add(frame.stream)
            link.client.write(refusal(frame.stream, *answer))
            yield cancelled(frame.stream)

    async def _held(self, *, is_up: bool) -> None:
        while self.toxics.is_silent_up if is_up else self.toxics.is_silent_down:  # noqa: ASYNC110 - a toxic ends by itself
            await asyncio.sleep(0.01)
        delay_s = self.toxics.latency_s + self.rng.uniform(0, self.toxics.jitter_s)
        if self.rng.random() < self.toxics.loss:
            delay_s += RETRANSMIT_S
        if delay_s:
            await asyncio.sleep(delay_s)

    async def _passed_on(self, link: Link, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = self.toxics.slice_bytes or len(data) or 1
        for start in range(0, len(data), size):
            link.carried += size
            if self.toxics.cut_after_bytes and link.carried > self.toxics.cut_after_bytes:
                raise ConnectionResetError
            writer.write(data[start : start + size])
            await writer.drain()
            if self.toxics.bytes_a_second:
                await asyncio.sleep(size / self.toxics.bytes_a_second)
            elif self.toxics.slice_bytes:
                await asyncio.sleep(0)
