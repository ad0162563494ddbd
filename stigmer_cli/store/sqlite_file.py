"""A SQLite store as a file: who holds it, whether it is still the same one, whether it is whole, and copies of it."""

import fcntl
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from stigmer_cli.errors import InUse, MachineError, reason_of
from stigmer_cli.files import OWNER_ONLY, drafted, sync_file, sync_folder

HEADER = b"SQLite format 3\0"
HEADER_SIZE = 100
QUICK_CHECK_BYTES_MAX = 32 * 1024 * 1024
"""Up to this size the whole file is checked at the start (about 0.1 s); page faults in a larger one show when read."""


@dataclass(frozen=True, kw_only=True)
class FileIdentity:
    """What tells a file from another one of the same name."""

    device: int
    inode: int


class StoreFile:
    """The file, and the lock beside it that this process holds from `acquire` to `release`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal = path.with_name(f"{path.name}-wal")
        self.fresh = path.with_name(f"{path.name}.new")
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._lock: int | None = None
        self._identity: FileIdentity | None = None

    def acquire(self, owner: str) -> None:
        """Take the lock and write this process's id and `owner` (for people: its address) into it.

        Raises InUse when another process holds it, MachineError when the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MachineError(f"cannot lock {self.path}: {reason_of(error)}: {self._lock_path}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n{owner}\n".encode())
        except BlockingIOError:
            holder = _holder(lock)
            os.close(lock)
            raise InUse(
                f"{self.path} is already in use by {holder}", hint="stop the other server first: stigmer down"
            ) from None
        except OSError as error:
            os.close(lock)
            raise MachineError(
                f"cannot lock {self.path}: {reason_of(error)}; {self.space()}",
                hint="keep it on a local disk: some network file systems have no locks",
            ) from error
        self._lock = lock

    def release(self) -> None:
        """Release the lock. The lock file stays: removing it would let two processes lock two files of one name."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def remember(self) -> None:
        """Note the identity of the file, for `verify`."""
        self._identity = self._read_identity()

    def verify(self) -> None:
        """Raise MachineError if the file was deleted or replaced since `remember`."""
        if self._identity is None or self._read_identity() != self._identity:
            raise MachineError(
                f"{self.path} was deleted or replaced while it was in use; nothing is written any more",
                hint=f"put the file back, or look into {self.path.parent / 'backups'}; then: stigmer restart server",
            )

    def verify_journal(self) -> None:
        """Raise MachineError if the write-ahead log of an open transaction is gone: a commit would be lost with it."""
        if not self.wal.exists():
            raise MachineError(
                f"{self.wal} was deleted while it was in use; nothing is written any more",
                hint="stigmer restart server",
            )

    def inspect(self) -> bool:
        """Whether there is a file to open (False: a new one has to be made).

        Raises MachineError, having written nothing, if what is there is no whole SQLite file.
        """
        if not self.path.exists():
            if self.wal.exists() and self.wal.stat().st_size > 0:
                raise self.damaged(f"it is gone, but its log {self.wal.name} is there")
            return False
        try:
            with self.path.open("rb") as file:
                header = file.read(HEADER_SIZE)
        except OSError as error:
            raise MachineError(f"cannot read {self.path}: {reason_of(error)}") from error
        if len(header) < HEADER_SIZE:
            raise self.damaged(f"it is only {len(header)} bytes long")
        if not header.startswith(HEADER):
            raise self.damaged("its header is not that of a SQLite database")
        if self.path.stat().st_size <= QUICK_CHECK_BYTES_MAX:
            self._quick_check()
        return True

    def damaged(self, how: str) -> MachineError:
        """The error for a file that is not whole: it names the file and where copies are."""
        return MachineError(
            f"{self.path} is damaged: {how}; it is left as it is and nothing is written",
            hint=f"restore a copy ({self.path.parent / 'backups'}), or move the file away to begin with an empty one",
        )

    def space(self) -> str:
        """How much room is left where the file lies, in words."""
        try:
            return f"{shutil.disk_usage(self.path.parent).free // 1024} KiB free on the disk of {self.path.parent}"
        except OSError as error:
            return f"{self.path.parent}: {reason_of(error)}"

    def back_up(self, revision: str, now: datetime) -> Path:
        """Copy the store to `backups/NAME-REVISION-TIME.db` beside it and return the path; on disk when it returns."""
        folder = self.path.parent / "backups"
        copy = folder / f"{self.path.stem}-{revision}-{now:%Y%m%dT%H%M%SZ}.db"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            with (
                drafted(copy, OWNER_ONLY) as draft,
                closing(self.connect(mode="ro")) as source,
                closing(sqlite3.connect(draft)) as target,
            ):
                source.backup(target)
        except (OSError, sqlite3.Error) as error:
            raise MachineError(
                f"cannot copy {self.path} to {copy} before the upgrade: {reason_of(error)}; {self.space()}"
            ) from error
        return copy

    def connect(self, *, mode: str) -> sqlite3.Connection:
        """A plain connection of its own; `mode` is SQLite's `ro` or `rw`, so that it never creates the file."""
        return sqlite3.connect(uri(self.path, mode), uri=True)

    def keep_log(self) -> sqlite3.Connection:
        """A connection that only reads: while it is open, those that close write nothing from the log into the file.

        SQLite does that when the last connection closes, and one that only reads cannot (sqlite.org/wal.html, 6).
        """
        keeper = sqlite3.connect(uri(self.path, "ro"), uri=True, check_same_thread=False)
        self.open_log(keeper)
        return keeper

    def open_log(self, keeper: sqlite3.Connection) -> None:
        """Read with `keeper`, whatever comes of it: it keeps the log from its first read on."""
        with suppress(sqlite3.Error):
            keeper.execute("PRAGMA schema_version").fetchone()

    def _quick_check(self) -> None:
        try:
            with closing(self.connect(mode="ro")) as connection:
                answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise self.damaged(str(error)) from error
        if answer != "ok":
            raise self.damaged(str(answer).replace("\n", " "))

    def _read_identity(self) -> FileIdentity | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return FileIdentity(device=found.st_dev, inode=found.st_ino)


def uri(path: Path, mode: str) -> str:
    """`path` as SQLite's URI with `mode` (`ro`, `rw`)."""
    return f"file:{quote(str(path))}?mode={mode}"


def publish(partial: Path, final: Path) -> None:
    """Give a finished file its name, so that it is there whole or not at all, also after a power cut."""
    sync_file(partial)
    partial.replace(final)
    sync_folder(final.parent)


def _holder(lock: int) -> str:
    pid, _, owner = os.pread(lock, 1000, 0).decode(errors="replace").partition("\n")
    return f"pid {pid or 'unknown'}" + (f" ({owner.strip()})" if owner.strip() else "")
