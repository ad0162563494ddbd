"""What a database says went wrong, as the one tree of errors: which code means what, and which ends the process."""

import shlex
import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import (
    Conflict,
    MachineError,
    NotFound,
    RequestError,
    StigmerError,
    StoreBusy,
    TooLarge,
    Unavailable,
)
from stigmer_cli.libpq import WHO_LOCKS
from stigmer_cli.store.sqlite_file import StoreFile
from stigmer_cli.time_format import span

_PRIMARY = 0xFF
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNSURE = frozenset({sqlite3.SQLITE_IOERR, *_DAMAGED})
"""After these nobody knows what is on the disk; only a new process that reads it again does (see "fsyncgate", 2018)."""
_MACHINE = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_AUTH}
)

_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN})

_POSTGRES_BUSY = frozenset({"55P03", "57014"})
_POSTGRES_DEADLOCK = "40P01"
_POSTGRES_MACHINE = frozenset({"53100", "58030", "58P01", "XX001", "XX002"})
_POSTGRES_SETUP = frozenset({"28000", "28P01", "3D000", "42501", "42P01", "3F000"})
POSTGRES_READ_ONLY = "25006"
_POSTGRES_LATER = ("08", "40", "53", "57", POSTGRES_READ_ONLY)
_POSTGRES_LOCKED = "55P03"


class Deadlocked(StoreBusy):
    """Two transactions waited for rows of each other, and this one was rolled back: nothing of it is written."""


def missing_execution(id_: ExecutionId) -> NotFound:
    """The error for an execution that has no row."""
    return NotFound(f"there is no execution {id_}", hint="stigmer executions list")


def is_unsure(error: BaseException) -> bool:
    """Whether, after `error`, this process cannot know what is on the disk."""
    code = _sqlite_code(error)
    return code is not None and code not in _FULL and (code & _PRIMARY) in _UNSURE


def from_sqlite(error: BaseException, file: StoreFile, busy_timeout_s: float) -> StigmerError | None:
    """`error` as ours; None for a defect of ours, which must not be hidden."""
    if (known := _common(error)) is not None:
        return known
    code = _sqlite_code(error)
    if isinstance(error, PoolTimeout):
        return StoreBusy(
            f"this server is busy: a read or a write waited for {span(busy_timeout_s)} for its turn at {file.path}",
            hint="try again in a moment, with fewer requests at a time",
        )
    if code is not None and code & _PRIMARY in _BUSY:
        return StoreBusy(
            f"{file.path} was held by another writer for {span(busy_timeout_s)}",
            hint=f"see who has it open: fuser {shlex.quote(str(file.path))}",
        )
    if code is None:
        return None
    if code in _FULL:
        return MachineError(f"disk full: {file.path}: {file.space()}", hint=f"make room on {file.path.parent}")
    return _of_code(code, str(_origin(error)), file)


def _of_code(code: int, message: str, file: StoreFile) -> StigmerError | None:
    primary = code & _PRIMARY
    if primary in _DAMAGED:
        return file.damaged(message)
    if primary == sqlite3.SQLITE_IOERR:
        return MachineError(
            f"{file.path} cannot be trusted to be on disk: {message} (code {code}); {file.space()}",
            hint="check dmesg for disk errors, then: stigmer restart server",
        )
    if primary in _MACHINE:
        return MachineError(
            f"{file.path} cannot be used: {message}; {file.space()}",
            hint=f"check owner and mode: ls -l {shlex.quote(str(file.path))}",
        )
    if primary == sqlite3.SQLITE_TOOBIG:
        return TooLarge("a text is larger than the store takes")
    return None


def from_postgresql(error: BaseException, server: str, *, is_opening: bool = False) -> StigmerError | None:
    """`error` as ours; None for a defect of ours, which must not be hidden.

    `is_opening`: nothing of ours can have been written yet.
    """
    if (known := _common(error)) is not None:
        return known
    if isinstance(error, PoolTimeout):
        return StoreBusy(f"all connections to PostgreSQL at {server} are in use")
    if not isinstance(error, DBAPIError | OSError):
        return None
    origin = _origin(error)
    state = getattr(origin, "sqlstate", None)
    message = " ".join(str(origin).split())
    if state is not None and (known := _of_state(state, message, server)) is not None:
        return known
    if type(origin).__name__ == "DataError":
        return RequestError(f"a value does not fit: {message}")
    if _is_passing(error, state):
        doubt = "" if is_opening else "; a write may or may not have counted"
        return Unavailable(f"PostgreSQL at {server} is not available: {message}{doubt}")
    return None


def _of_state(state: str, message: str, server: str) -> StigmerError | None:
    if state == _POSTGRES_DEADLOCK:
        return Deadlocked(f"PostgreSQL at {server} ended a deadlock: {message}")
    if state in _POSTGRES_BUSY:
        hint = WHO_LOCKS if state == _POSTGRES_LOCKED else ""
        return StoreBusy(f"PostgreSQL at {server} took too long: {message}", hint=hint)
    if state in _POSTGRES_MACHINE:
        return MachineError(f"PostgreSQL at {server} cannot write or read its disk: {message}")
    if state in _POSTGRES_SETUP:
        return MachineError(f"PostgreSQL at {server} refuses: {message}", hint="stigmer config get database_url")
    return None


def _is_passing(error: BaseException, state: str | None) -> bool:
    if state is not None:
        return state.startswith(_POSTGRES_LATER)
    return isinstance(error, OSError) or type(_origin(error)).__name__ in {"OperationalError", "InterfaceError"}


def _common(error: BaseException) -> StigmerError | None:
    origin = _origin(error)
    if isinstance(origin, StigmerError):
        return origin
    if isinstance(error, IntegrityError):
        return Conflict(f"the store holds something that forbids this: {origin}")
    return None


def _origin(error: BaseException) -> BaseException:
    if isinstance(error, StatementError) and error.orig is not None:
        return error.orig
    return error


def _sqlite_code(error: BaseException) -> int | None:
    origin = _origin(error)
    return getattr(origin, "sqlite_errorcode", None)
