"""A lock on a file, held by one process at a time and dropped by the kernel when that process dies."""

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from stigmer_cli.clock import Clock
from stigmer_cli.errors import MachineError, TimedOut, reason_of
from stigmer_cli.files import OWNER_ONLY
from stigmer_cli.time_format import span

LOOK_EVERY_S = 0.025
PATH_MAX = 1024
"""Bytes that macOS asks for with F_GETPATH (fcntl(2))."""


class FileLock:
    """flock(2) on `path`; children do not inherit it. The holder's pid is in the file, for messages only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take it without waiting; False where somebody holds it. Raises OSError where the file cannot be used."""
        fd = self._open()
        try:
            is_ours = _try_lock(fd) and self._is_the_file(fd)
        except OSError:  # a file system without locks
            os.close(fd)
            raise
        if not is_ours:
            os.close(fd)
            return False
        with contextlib.suppress(OSError):  # a disk that is full, or read-only, only loses the message
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd
        return True

    @property
    def is_in_place(self) -> bool:
        """Whether the file we hold is still the one that others would find."""
        return self._fd is not None and self._is_the_file(self._fd)

    def find_moved(self) -> Path | None:
        """Where the file we hold is now, if its folder has another path than before; None if it was removed."""
        if self._fd is None:
            return None
        with contextlib.suppress(OSError):
            found = _path_of(self._fd)
            there, ours = found.stat(), os.fstat(self._fd)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return found
        return None

    def release(self) -> None:
        """Release it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def holder(self) -> str:
        """The pid that the last holder wrote, or `unknown`."""
        with contextlib.suppress(OSError):
            return self.path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
        return "unknown"

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            # One that is there can be locked on a read-only file system, too.
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def _is_the_file(self, fd: int) -> bool:
        """False where the file was removed, or replaced, between opening and locking."""
        try:
            there, ours = self.path.stat(), os.fstat(fd)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


@contextlib.asynccontextmanager
async def held(path: Path, *, within_s: float, clock: Clock) -> AsyncIterator[FileLock]:
    """Hold the lock at `path`.

    Raises TimedOut, naming the holder, where it is not free `within_s`, and MachineError where it cannot be opened.
    """
    lock = FileLock(path)
    deadline = clock.monotonic() + within_s
    while not _acquire(lock):
        if clock.monotonic() >= deadline:
            raise _still_held(lock, within_s)
        await clock.sleep(LOOK_EVERY_S)
    try:
        yield lock
    finally:
        lock.release()


def _still_held(lock: FileLock, within_s: float) -> TimedOut:
    from stigmer_cli.supervisor.process import run_state  # noqa: PLC0415 - only for who has waited in vain

    holder = lock.holder()
    what = f"{lock.path} is held by another stigmer (pid {holder}) for more than {span(within_s)}"
    if holder.isdigit() and run_state(int(holder)) == "T":
        return TimedOut(f"{what}: that one was stopped, as by Ctrl-Z", hint=f"kill -CONT {holder}")
    return TimedOut(what, hint=f"see what it does: ps -p {holder}")


def _acquire(lock: FileLock) -> bool:
    try:
        return lock.acquire()
    except OSError as error:
        raise MachineError(
            f"cannot use {lock.path}: {reason_of(error)}",
            hint=f"make {lock.path.parent} writable, or free space",
        ) from error


def _path_of(fd: int) -> Path:
    """The path that the open file `fd` has now, as the kernel knows it; raises OSError."""
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(PATH_MAX)).rstrip(b"\0")))
    return Path(f"/proc/self/fd/{fd}").readlink()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
