"""HTTP/1.1 without TLS: an httpx transport on asyncio and h11, for the one server at the end of it.

httpx's own transport does the same through httpcore and anyio, for any server, and takes twice the processor time of
this one for a short request. A runner sends two for each execution.
"""

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import h11
import httpx

from stigmer_cli.host_names import hosts_to_try
from stigmer_cli.waits import first_success, wait_at_most

CONNECTIONS_MAX = 100
KEPT_MAX = 20
KEPT_S = 5.0
"""As httpx has them: requests at a time, and how many connections are kept for the next one, for how long."""

HAPPY_EYEBALLS_S = 0.25
"""How soon another address of a name is tried beside the first (RFC 8305)."""

READ_BYTES = 65_536
BUFFERED_MAX = 262_144
"""What came and nobody has asked for; from here on the other end has to wait."""


class Wire(asyncio.Protocol):
    """One TCP connection: bytes out, and bytes in as they come."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.idle_since = 0.0
        self.met: object = None
        self._buffer = bytearray()
        self._error: Exception | None = None
        self._is_ended = False
        self._news: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of TCP
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        self._buffer += data
        if len(self._buffer) > BUFFERED_MAX:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The other end sends no more; what is to be written still may be."""
        self._is_ended = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._is_ended, self._error = True, exc
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The other end takes it slower than it is written."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It has taken most of it."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # -- what a request calls

    @property
    def is_fresh(self) -> bool:
        """Whether it can take another request: it is open, and nothing came unasked, no end of it either."""
        return not (self._is_ended or self._buffer or self.transport.is_closing() or self._is_readable)

    @property
    def _is_readable(self) -> bool:
        """Whether something came that the event loop has not handed on yet."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    async def write(self, data: bytes) -> None:
        """Send `data`; returns when most of it has been taken. An end of the connection is told by `read`."""
        self.transport.write(data)
        if self._drained is not None:
            await self._drained

    async def read(self) -> bytes:
        """What came, at least a byte; nothing at the end. Raises OSError for a connection that broke."""
        while not self._buffer:
            if self._error is not None:
                raise self._error
            if self._is_ended:
                return b""
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        data = bytes(self._buffer)
        self._buffer.clear()
        self.transport.resume_reading()
        return data

    def close(self) -> None:
        """Close it at once; what is still to be written is dropped."""
        self.transport.abort()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


Greeting = Callable[[Wire], Awaitable[None]]
"""What is done first on each connection; raises where no request may go over it."""


def _nothing() -> None:
    """What a connection has to meet where there is no greeting."""


class PlainTransport(httpx.AsyncBaseTransport):
    """Sends requests to `host`, `port` over connections that `greet` has passed; raises what httpx's own raises.

    `demand` is what they had to meet for that: once it says something else, none that met the old one is used again.
    """

    def __init__(
        self, host: str, port: int, *, greet: Greeting | None = None, demand: Callable[[], object] = _nothing
    ) -> None:
        self._host, self._port, self._greet, self._demand = host, port, greet, demand
        self._is_closed = False
        self._kept: list[Wire] = []
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and return the answer as soon as its headers are there."""
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        if not await wait_at_most(limits.get("pool"), self._room.acquire()):
            raise httpx.PoolTimeout("no connection came free in time")
        wire: Wire | None = None
        try:
            wire = self._take_kept() or await self._connect(limits.get("connect"))
            exchange = _Exchange(wire, limits, release=self._release)
            return await exchange.begin(request)
        except BaseException:
            if wire is not None:
                wire.close()
            self._room.release()
            raise

    async def aclose(self) -> None:
        """Close the connections that are kept, and those in use as soon as they are not."""
        self._is_closed = True
        self._close_kept(self._kept)

    def _take_kept(self) -> Wire | None:
        """The connection that was used last and can be used again."""
        self._close_expired()
        demand = self._demand()
        while self._kept:
            wire = self._kept.pop()
            if wire.is_fresh and wire.met == demand:
                return wire
            wire.close()
        return None

    def _close_expired(self) -> None:
        """The one that was used last is taken first, so that others might stay for ever, closed by the other end."""
        oldest = asyncio.get_running_loop().time() - KEPT_S
        self._close_kept([wire for wire in self._kept if wire.idle_since <= oldest])

    def _close_kept(self, wires: Sequence[Wire]) -> None:
        for wire in wires:
            wire.close()
        self._kept = [wire for wire in self._kept if wire not in wires]

    def _release(self, wire: Wire, *, is_reusable: bool) -> None:
        self._room.release()
        if not is_reusable or self._is_closed:
            wire.close()
            return
        self._close_expired()
        wire.idle_since = asyncio.get_running_loop().time()
        self._kept.append(wire)
        if len(self._kept) > KEPT_MAX:
            self._kept.pop(0).close()

    async def _connect(self, limit_s: float | None) -> Wire:
        loop, demand = asyncio.get_running_loop(), self._demand()
        try:
            async with asyncio.timeout(limit_s):
                wire = await self._reach(loop)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except socket.gaierror as error:
            raise httpx.ConnectError(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError("all connection attempts failed") from error
        if self._greet is not None:
            try:
                await self._greet(wire)
            except BaseException:
                wire.close()
                raise
        wire.met = demand
        return wire

    async def _reach(self, loop: asyncio.AbstractEventLoop) -> Wire:
        async def connect(host: str) -> Wire:
            _, wire = await loop.create_connection(Wire, host, self._port, happy_eyeballs_delay=HAPPY_EYEBALLS_S)
            return wire

        return await first_success(hosts_to_try(self._host), connect, despite=OSError)


class _Exchange:
    """One request and its answer on a connection, which `release` gets back at the end of the answer."""

    def __init__(self, wire: Wire, limits: dict[str, float | None], *, release: Callable[..., None]) -> None:
        self._wire, self._limits, self._release = wire, limits, release
        self._http = h11.Connection(h11.CLIENT)
        self._is_released = False

    async def begin(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and read the head of its answer."""
        try:
            await self._send(request)
            head = await self._next_event()
            while isinstance(head, h11.InformationalResponse):
                head = await self._next_event()
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        if not isinstance(head, h11.Response):
            raise httpx.RemoteProtocolError("the server closed the connection without an answer")
        return httpx.Response(
            status_code=head.status_code,
            headers=head.headers.raw_items(),
            stream=_Body(self),
            extensions={"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason},
        )

    async def _send(self, request: httpx.Request) -> None:
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        pieces = [self._http.send(head)]
        assert isinstance(request.stream, httpx.AsyncByteStream)  # noqa: S101 - of an asynchronous client
        pieces += [self._http.send(h11.Data(data=piece)) async for piece in request.stream]
        pieces.append(self._http.send(h11.EndOfMessage()))
        if not await wait_at_most(self._limits.get("write"), self._wire.write(b"".join(filter(None, pieces)))):
            raise httpx.WriteTimeout("the server did not take the request in time")

    async def read_body(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)
        self.end()

    def end(self) -> None:
        """Give the connection back, for the next request if this answer was read to its end."""
        if self._is_released:
            return
        self._is_released = True
        is_whole = self._http.our_state is self._http.their_state is h11.DONE
        self._release(self._wire, is_reusable=is_whole and not self._http.trailing_data[0])

    async def _next_event(self) -> h11.Event | None:
        """What the other end says next; None where there is no more of it."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._read())
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return event if isinstance(event, h11.Event) else None

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(self._limits.get("read")):
                return await self._wire.read()
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time") from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error


class _Body(httpx.AsyncByteStream):
    """The body of an answer."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What comes of it."""
        async for piece in self._exchange.read_body():
            yield piece

    async def aclose(self) -> None:
        """It is over, whether it was read to its end or not."""
        self._exchange.end()
