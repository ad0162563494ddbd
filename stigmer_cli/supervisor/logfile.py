"""A log file that is rotated by size while it is written, survives being deleted and a full disk, and keeps a tail."""

import contextlib
import os
from collections import deque
from pathlib import Path

from stigmer_cli.files import OWNER_ONLY, OWNER_ONLY_FOLDER

TAIL_LINES = 40
LINE_MAX = 4096


class LogFile:
    """Appends bytes to `path`; at `size_max` bytes it becomes `path.1` and so on, `files_max` files in all.

    A line is never torn by a rotation: a file may exceed `size_max` by the end of its last line, or by `LINE_MAX`.

    Writing never raises: what cannot be written is counted in `dropped`, and the file says so once it can be again.
    """

    def __init__(self, path: Path, *, size_max: int, files_max: int) -> None:
        self.path = path
        self.dropped = 0
        self._size_max, self._files_max = size_max, files_max
        self._fd: int | None = None
        self._lines: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._rest = b""
        self._ends_line = True

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines, kept in memory, oldest first; the newest may be unfinished."""
        lines = [*self._lines, self._rest] if self._rest else list(self._lines)
        return tuple(line.decode("utf-8", "replace") for line in lines)

    def write(self, data: bytes) -> None:
        """Append `data`, after a rotation where it would not fit."""
        self._remember(data)
        try:
            self._reopen_if_gone()
            self._confess()
            self._append(data)
        except OSError:
            self.close()
            self.dropped += len(data)

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def _append(self, data: bytes) -> None:
        while data:
            room = self._size_max - os.fstat(self._open()).st_size
            if room <= 0 and (self._ends_line or room <= -LINE_MAX):
                self._rotate()
                continue
            written = os.write(self._open(), _whole_lines(data, max(room, 0)))
            self._ends_line = data[:written].endswith(b"\n")
            data = data[written:]
            if data and written == 0:
                raise OSError("nothing was written")

    def _confess(self) -> None:
        if self.dropped:
            os.write(self._open(), b"... %d bytes of log dropped: they could not be written\n" % self.dropped)
            self.dropped = 0

    def _open(self) -> int:
        if self._fd is None:
            self.path.parent.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)  # no home: a removed one stays removed
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
        return self._fd

    def _reopen_if_gone(self) -> None:
        if self._fd is None:
            return
        try:
            there, ours = self.path.stat(), os.fstat(self._fd)
        except FileNotFoundError:
            self.close()
            return
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            self.close()

    def _rotate(self) -> None:
        self.close()
        self._ends_line = True
        for number in range(self._files_max - 1, 0, -1):
            older = rotated_path(self.path, number - 1)
            if older.exists():
                older.replace(rotated_path(self.path, number))
        if self._files_max == 1:
            self.path.unlink(missing_ok=True)

    def _remember(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:LINE_MAX]
        self._lines.extend(line[:LINE_MAX] for line in whole[-TAIL_LINES:])


def rotated_path(path: Path, number: int) -> Path:
    """The name of `path` after `number` rotations; `path` itself for 0."""
    return path.with_name(f"{path.name}.{number}") if number else path


def _whole_lines(data: bytes, room: int) -> bytes:
    """As much of `data` as fits in `room`, cut after a line where one ends there; at least one line or all of it."""
    if len(data) <= room:
        return data
    end = data.rfind(b"\n", 0, room)
    if end < 0:
        end = data.find(b"\n")
    return data[: end + 1] if end >= 0 else data
