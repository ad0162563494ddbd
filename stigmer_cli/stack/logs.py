"""Lines from the log files of a home: merged by time, also from rotated files, and followed across a rotation."""

import heapq
import json
import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO, Self

from stigmer_cli.clock import Clock
from stigmer_cli.errors import ConfigError
from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.settings import Home
from stigmer_cli.stack.parts import NAMES
from stigmer_cli.supervisor.logfile import rotated_path

LOOK_EVERY_S = 0.25
LINE_MAX = 1024 * 1024
UNDATED_MAX = 10_000
STAMPS = ("timestamp", "time", "ts")
TEXT_STAMP = re.compile(r'^(?:time=)?"?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\s"]*)')
NEVER = datetime.fromtimestamp(0, UTC)
"""The place in time of a line that has no time, and none near it."""


@dataclass(frozen=True, kw_only=True, order=True)
class Line:
    """One line of one part. `at` is its place in time, never before that of the line before it.

    It is the line's own timestamp, or the time of the line before where it has none or the clock was set back. Lines
    before the first timestamp have that one.
    """

    at: datetime
    part: str
    number: int
    text: str = field(compare=False)

    @property
    def shown_at(self) -> datetime:
        """The line's own timestamp, else `at`."""
        return stamp_of(self.text) or self.at

    def to_json(self) -> dict[str, object]:
        """The JSON object; `event` is the line itself where it is an object."""
        stamp = None if self.shown_at == NEVER else self.shown_at.isoformat()
        return {"part": self.part, "at": stamp, "text": self.text, "event": _object(self.text)}


def select_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """The named parts without repeats, all parts if none is named; raises ConfigError for an unknown name."""
    for name in parts:
        if name not in NAMES:
            nearest = suggest_nearest(name, NAMES) or f": {', '.join(NAMES)}"
            raise ConfigError(f"there is no part {name}{nearest}", hint="stigmer logs server")
    return tuple(dict.fromkeys(parts)) or NAMES


def have_logs(home: Home, parts: Sequence[str]) -> bool:
    """Whether one of `parts` has ever written a line here."""
    return any((home.logs / f"{part}.log").exists() for part in parts)


@dataclass(frozen=True, kw_only=True)
class EndOfFile:
    """How far a log file had been written: its inode (0 where it was not there) and its size in bytes."""

    inode: int
    size: int


def read_lines(
    home: Home,
    parts: Sequence[str],
    *,
    since: datetime | None = None,
    tail: int | None = None,
    ends: Mapping[str, EndOfFile] | None = None,
) -> Iterator[Line]:
    """What is on disk, in order of time, oldest first; `tail` counts lines of each part.

    With `ends`, nothing behind them: a `Follower` that was made before yields that.
    """
    streams = []
    for part in parts:
        written = _date_first_lines(_file_lines(home.logs / f"{part}.log", part, (ends or {}).get(part)))
        fresh = (line for line in written if since is None or line.at >= since)
        streams.append(iter(deque(fresh, maxlen=min(tail, sys.maxsize))) if tail is not None else fresh)
    return heapq.merge(*streams)


class Follower:
    """Yields the lines that are written after it was made, also across a rotation."""

    def __init__(self, home: Home, parts: Sequence[str]) -> None:
        self._tails = {part: _Tail(home.logs / f"{part}.log", part) for part in parts}
        self.ends: Mapping[str, EndOfFile] = {part: tail.begin for part, tail in self._tails.items()}

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        for tail in self._tails.values():
            tail.close()

    async def lines(self, *, clock: Clock) -> AsyncIterator[Line]:
        """New lines until cancelled, looked for every `LOOK_EVERY_S` seconds."""
        while True:
            for line in sorted(line for tail in self._tails.values() for line in tail.new_lines()):
                yield line
            await clock.sleep(LOOK_EVERY_S)


class _Tail:
    """The end of one log file, wherever a rotation moves it. It starts behind what is there already."""

    def __init__(self, path: Path, part: str) -> None:
        self._path, self._part = path, part
        self._file: IO[bytes] | None = None
        self._rest = b""
        self._numbers = count()
        self._at = NEVER
        self._open()
        self.begin = self._skip_what_is_there()

    def _skip_what_is_there(self) -> EndOfFile:
        """Stand behind the last whole line, so that the readers before and after it get whole lines."""
        if self._file is None:
            return EndOfFile(inode=0, size=0)
        size = self._file.seek(0, os.SEEK_END)
        back = min(size, LINE_MAX)
        self._file.seek(size - back)
        size -= back - (self._file.read(back).rfind(b"\n") + 1)
        self._file.seek(size)
        return EndOfFile(inode=os.fstat(self._file.fileno()).st_ino, size=size)

    def new_lines(self) -> list[Line]:
        """What was added since the last call."""
        lines = self._read()
        if self._was_replaced():
            lines += self._read()  # what came between the read above and the rotation
            self.close()
            self._open()
            lines += self._read()
        return lines

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._file = None

    def _was_replaced(self) -> bool:
        if self._file is None:
            return True
        try:
            there, ours = self._path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return False
        return there.st_ino != ours.st_ino

    def _read(self) -> list[Line]:
        if self._file is None:
            return []
        if os.fstat(self._file.fileno()).st_size < self._file.tell():  # emptied in its place, as `> server.log` does
            self._file.seek(0)
            self._rest = b""
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        written_at = datetime.fromtimestamp(os.fstat(self._file.fileno()).st_mtime, UTC)
        return [self._line(line, written_at) for line in whole]

    def _line(self, raw: bytes, written_at: datetime) -> Line:
        text = raw.decode("utf-8", "replace")
        self._at = stamp_of(text) or (written_at if self._at == NEVER else self._at)
        return Line(at=self._at, part=self._part, number=next(self._numbers), text=text)


def _date_first_lines(lines: Iterator[Line]) -> Iterator[Line]:
    """`lines`, of which those before the first timestamp, as a panic or a banner, get that one: they came just before.

    Of a part that writes no timestamps at all they stay without a time, and come first.
    """
    undated: list[Line] = []
    for line in lines:
        if line.at == NEVER and len(undated) < UNDATED_MAX:
            undated.append(line)
            continue
        yield from (replace(one, at=line.at) for one in undated)
        undated.clear()
        yield line
    yield from undated


def _file_lines(path: Path, part: str, end: EndOfFile | None) -> Iterator[Line]:
    numbers, at = count(), NEVER
    files = _oldest_first(path)
    try:
        for file in files:
            inode = os.fstat(file.fileno()).st_ino
            if end is not None and end.inode == 0 and file is files[-1]:
                return
            while raw := file.readline(LINE_MAX):
                if end is not None and inode == end.inode and file.tell() > end.size:
                    return
                text = raw.rstrip(b"\n").decode("utf-8", "replace")
                # Never back: the order within a file is the order of writing, and the merge relies on it.
                at = max(at, stamp_of(text) or at)
                yield Line(at=at, part=part, number=next(numbers), text=text)
            if end is not None and inode == end.inode:
                return
    finally:
        for file in files:
            file.close()


def _oldest_first(path: Path) -> list[IO[bytes]]:
    """Open all at once, so that a rotation meanwhile neither hides nor repeats a file."""
    found: list[IO[bytes]] = []
    for number in count():
        try:
            found.append(rotated_path(path, number).open("rb"))
        except FileNotFoundError:
            if number:
                break
    return found[::-1]


def stamp_of(text: str) -> datetime | None:
    """The timestamp of a line: in a JSON object, or at its beginning; local time where it names no zone."""
    if text.startswith("{"):
        event = _object(text) or {}
        stamp = next((event[name] for name in STAMPS if isinstance(event.get(name), str)), None)
        return _parse_stamp(str(stamp)) if stamp else None
    match = TEXT_STAMP.match(text)
    return _parse_stamp(match[1]) if match else None


def _parse_stamp(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def _object(text: str) -> dict[str, object] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
