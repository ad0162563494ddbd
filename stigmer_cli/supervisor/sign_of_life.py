"""Shows that a process's event loop runs: a unix socket that sends a line on each connection.

A pid proves that there is a process, not that it does anything. The socket needs no clock, and no room on the disk
once it is bound.
"""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.supervisor.control import OURS_TO_REMOVE, short_name
from stigmer_cli.supervisor.process import run_state

ALIVE = b"alive\n"


def socket_of(folder: Path, name: str, pid: int) -> Path:
    """Where process `pid`, which does the work of `name`, shows it."""
    return folder / f"{name}-{pid}.sock"


async def show_life(folder: Path, name: str) -> None:
    """Answer until cancelled; nothing where the folder is not there or takes no socket."""
    path = socket_of(folder, name, os.getpid())
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        _clear(folder, name)
        path.unlink(missing_ok=True)
        with short_name(path) as address:
            listener.bind(address)
    except OSError:
        listener.close()
        return
    finally:
        os.umask(before)
    try:
        async with await asyncio.start_unix_server(_answer, sock=listener, **OURS_TO_REMOVE):
            await asyncio.get_running_loop().create_future()
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


async def shows_life(folder: Path, name: str, pid: int, *, within_s: float) -> bool | None:
    """Whether the event loop of `pid` runs; None where it has no such socket."""
    end = socket.socket(socket.AF_UNIX)
    end.setblocking(False)
    try:
        with short_name(socket_of(folder, name, pid)) as address:
            end.connect(address)
        reader, writer = await asyncio.open_unix_connection(sock=end)
    except BlockingIOError:  # its queue is full: nobody has taken a connection for long
        end.close()
        return False
    except OSError:
        end.close()
        return None
    try:
        async with FairTimeout(within_s, waits_for=(pid,)):
            return bool(await reader.readline())
    except TimeoutError:
        return False
    except OSError:
        return None
    finally:
        writer.transport.abort()


def _clear(folder: Path, name: str) -> None:
    """Remove the sockets of killed processes."""
    for path in folder.glob(f"{name}-*.sock"):
        pid = path.stem.rpartition("-")[2]
        if pid.isdigit() and run_state(int(pid)) is None:
            path.unlink(missing_ok=True)


async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ALIVE)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
