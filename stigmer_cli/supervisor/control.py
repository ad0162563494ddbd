"""The supervisor's unix socket, both ends: a line of JSON asked, a line of JSON answered; `watch` answers for ever."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from stigmer_cli.errors import MachineError, Unavailable, reason_of
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.supervisor.process import IS_LINUX
from stigmer_cli.supervisor.record import SOCKET, Json, SupervisorRecord, record_from_json

NAME_MAX = 100
"""Bytes of a socket's address that every system takes: sun_path holds 104 on macOS, 108 on Linux."""

LINE_MAX = 8 * 1024 * 1024
"""A request may carry a whole environment, which Linux allows to be 6 MiB large."""

REQUEST_MAX_S = 5.0
WRITE_MAX_S = 5.0
CONNECTIONS_MAX = 256

OURS_TO_REMOVE: Mapping[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""Python 3.13 would remove the socket by its address, which is no longer valid then for a deep folder."""


class Changes:
    """Wakes everybody who waits for something to change."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody who waits."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def after(self, count: int) -> int:
        """Return the new count as soon as it is larger than `count`."""
        while self.count <= count:
            await self._event.wait()
        return self.count


class ControlServer:
    """Answers on the socket in `folder`. `answer` turns one request into one reply and must not block."""

    def __init__(
        self, folder: Path, *, answer: Callable[[Json], Json], status: Callable[[], Json], changes: Changes
    ) -> None:
        self.folder, self._answer, self._status, self._changes = folder, answer, status, changes
        self._connections = 0
        self._listener: socket.socket | None = None

    def listen(self) -> None:
        """Bind the socket, in place of one that a dead supervisor left; the caller holds the lock. Raises OSError."""
        (self.folder / SOCKET).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            with short_name(self.folder / SOCKET) as name:
                listener.bind(name)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        self._listener = listener

    async def run(self) -> None:
        """Serve until cancelled."""
        if self._listener is None:
            raise RuntimeError("listen first")
        server = await asyncio.start_unix_server(
            self._serve, sock=self._listener, limit=LINE_MAX, backlog=128, **OURS_TO_REMOVE
        )
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            with contextlib.suppress(OSError):  # on a disk that turned read-only it stays
                (self.folder / SOCKET).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            while self._connections <= CONNECTIONS_MAX and (request := await _next_line(reader)):
                await self._reply(request, writer)
        except (
            OSError,
            TimeoutError,
            ValueError,
            TypeError,
            asyncio.CancelledError,
        ):  # cancelled: the process is ending
            pass
        finally:
            self._connections -= 1
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _reply(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise TypeError("a request is an object")
        if request.get("op") == "watch":
            await self._stream(writer)
        else:
            await _send(writer, self._answer(request))

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        while True:
            seen = self._changes.count
            await _send(writer, self._status())
            await self._changes.after(seen)


class Unresponsive(Unavailable):
    """Somebody holds the socket open and does not answer."""

    code = "supervisor-unresponsive"


class Control:
    """The asking end. One request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, within_s: float) -> None:
        self._reader, self._writer, self._within_s = reader, writer, within_s

    async def __aenter__(self) -> Self:
        """The connection itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close it."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def ask(self, op: str, name: str | None = None, *, more: Json | None = None) -> Json:
        """The answer to one request, with the fields `more` in it; raises Unresponsive where none comes in time."""
        request = {"op": op, **({"name": name} if name else {}), **(more or {})}
        try:
            async with FairTimeout(self._within_s):
                await _send(self._writer, request)
                line = await self._reader.readline()
            answer = json.loads(line)
        except (TimeoutError, OSError, ValueError) as error:
            raise Unresponsive(f"the supervisor gave no answer to {op}") from error
        return answer if isinstance(answer, dict) else {}

    async def status(self) -> SupervisorRecord:
        """The supervisor and its children as they stand; raises Unresponsive."""
        try:
            return record_from_json(await self.ask("status"))
        except ValueError as error:
            raise Unresponsive("the supervisor answered with something else") from error

    async def watch(self) -> AsyncIterator[SupervisorRecord]:
        """Its state now and after every change, until it is gone."""
        await _send(self._writer, {"op": "watch"})
        with contextlib.suppress(OSError):
            while line := await self._reader.readline():
                yield record_from_json(json.loads(line))

    async def is_gone(self, within_s: float) -> bool:
        """Whether its process ends in time: the kernel closes the connection when it does."""
        try:
            async with asyncio.timeout(within_s):
                while await self._reader.read(LINE_MAX):
                    pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


async def connect(folder: Path, *, within_s: float) -> Control | None:
    """A connection to the supervisor of `folder`, each answer awaited `within_s`; None where nobody listens.

    Raises Unresponsive where its queue is full, and MachineError where this user may not connect.
    """
    end = socket.socket(socket.AF_UNIX)
    end.setblocking(False)
    try:
        with short_name(folder / SOCKET) as name:
            end.connect(name)  # does not wait: a unix socket connects at once, or its queue is full
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=LINE_MAX)
    except (ConnectionRefusedError, FileNotFoundError, NotADirectoryError):
        end.close()
        return None
    except BlockingIOError:
        end.close()
        raise Unresponsive("the supervisor takes no more connections") from None
    except OSError as error:
        end.close()
        raise MachineError(f"cannot reach {folder / SOCKET}: {reason_of(error)}", hint="stigmer doctor") from error
    return Control(reader, writer, within_s=within_s)


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    """The next request; a client may stay silent for as long as it likes between two, not within one."""
    first = await reader.read(1)
    if not first or first == b"\n":
        return first.strip()
    async with asyncio.timeout(REQUEST_MAX_S):
        return first + await reader.readline()


async def _send(writer: asyncio.StreamWriter, answer: Json) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    async with asyncio.timeout(WRITE_MAX_S):
        await writer.drain()


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name for `path` that fits into a socket address, however deep the folder lies."""
    if len(os.fsencode(path)) <= NAME_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH if IS_LINUX and sys.platform == "linux" else os.O_RDONLY)
    try:
        if IS_LINUX:
            yield f"/proc/self/fd/{folder}/{path.name}"
            return
        here = os.open(".", os.O_RDONLY)
        try:
            os.fchdir(folder)
            yield path.name
        finally:
            os.fchdir(here)
            os.close(here)
    finally:
        os.close(folder)
