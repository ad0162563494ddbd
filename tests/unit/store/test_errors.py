"""Which words of a database mean which error."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from stigmer_cli.errors import MachineError, StigmerError, StoreBusy, Unavailable
from stigmer_cli.store import errors
from stigmer_cli.store.sqlite_file import StoreFile


def sqlite_error(code: int) -> DBAPIError:
    origin = sqlite3.OperationalError("words")
    origin.sqlite_errorcode = code
    return DBAPIError("SELECT 1", None, origin)


def test_a_wait_for_our_own_writes_names_no_other_writer(tmp_path: Path) -> None:
    known = errors.from_sqlite(PoolTimeout("words"), StoreFile(tmp_path / "s.db"), 5.0)
    assert type(known) is StoreBusy
    assert known.message.startswith("this server is busy: a read or a write waited for 5s for its turn at ")
    assert known.hint == "try again in a moment, with fewer requests at a time"


class PostgresError(Exception):
    def __init__(self, state: str) -> None:
        super().__init__("words\nof it")
        self.sqlstate = state


@pytest.mark.parametrize(
    ("code", "kind", "words", "ends"),
    [
        (sqlite3.SQLITE_BUSY, StoreBusy, "held by another writer", False),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy, "held by another writer", False),
        (sqlite3.SQLITE_FULL, MachineError, "disk full", False),
        (sqlite3.SQLITE_IOERR_SHMSIZE, MachineError, "disk full", False),
        (sqlite3.SQLITE_IOERR_FSYNC, MachineError, "cannot be trusted", True),
        (sqlite3.SQLITE_IOERR_WRITE, MachineError, "cannot be trusted", True),
        (sqlite3.SQLITE_CORRUPT, MachineError, "is damaged", True),
        (sqlite3.SQLITE_NOTADB, MachineError, "is damaged", True),
        (sqlite3.SQLITE_READONLY_DIRECTORY, MachineError, "cannot be used", False),
        (sqlite3.SQLITE_CANTOPEN, MachineError, "cannot be used", False),
    ],
)
def test_a_code_of_sqlite_is_an_error_that_names_the_file(
    tmp_path: Path, code: int, kind: type[StigmerError], words: str, *, ends: bool
) -> None:
    error = sqlite_error(code)
    known = errors.from_sqlite(error, StoreFile(tmp_path / "s.db"), 5.0)
    assert type(known) is kind
    assert words in known.message
    assert str(tmp_path / "s.db") in known.message
    assert errors.is_unsure(error) is ends


def test_a_defect_of_ours_stays_one(tmp_path: Path) -> None:
    file = StoreFile(tmp_path / "s.db")
    assert errors.from_sqlite(sqlite_error(sqlite3.SQLITE_ERROR), file, 5.0) is None
    assert errors.from_sqlite(KeyError("x"), file, 5.0) is None
    assert errors.from_postgresql(KeyError("x"), "here") is None
    assert errors.from_postgresql(DBAPIError("x", None, PostgresError("42601")), "here") is None


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("55P03", StoreBusy),
        ("57014", StoreBusy),
        ("53100", MachineError),
        ("28P01", MachineError),
        ("40001", Unavailable),
        ("40P01", errors.Deadlocked),
        ("57P01", Unavailable),
        ("08006", Unavailable),
        ("53300", Unavailable),
        ("25006", Unavailable),
    ],
)
def test_a_state_of_postgresql_is_an_error_that_names_the_server(state: str, kind: type[StigmerError]) -> None:
    known = errors.from_postgresql(DBAPIError("SELECT 1", None, PostgresError(state)), "host:5432/db")
    assert type(known) is kind
    assert "host:5432/db" in known.message
    assert "\n" not in known.message
