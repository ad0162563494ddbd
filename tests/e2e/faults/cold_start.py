"""Faults that a stack finds when it is started: each begins with a stack that is down, and ends with it down again."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.e2e.faults.harness import Harness
from tests.support.temporal_server import DevServer

HEADER_BYTES, PAGE_BYTES = 100, 4096


@contextmanager
def foreign_temporal(harness: Harness) -> Iterator[None]:
    """Somebody else's Temporal on our port: named, never used, never ended."""
    with DevServer(harness.folder, port=int(harness.stigmer.environment["STIGMER_TEMPORAL_PORT"])) as foreign:
        foreign.start()
        with _down_again(harness):
            yield
        foreign.operator("cluster", "health")


@contextmanager
def foreign_listener(harness: Harness) -> Iterator[None]:
    """Somebody else's process on the server's port."""
    with (
        socket.create_server(("127.0.0.1", int(harness.stigmer.environment["STIGMER_SERVER_PORT"]))),
        _down_again(harness),
    ):
        yield


@contextmanager
def no_binary(harness: Harness) -> Iterator[None]:
    """The binary that was named is not there."""
    harness.stigmer.environment["STIGMER_TEMPORAL_BINARY"] = "/nowhere/temporal"
    try:
        with _down_again(harness):
            yield
    finally:
        del harness.stigmer.environment["STIGMER_TEMPORAL_BINARY"]


def damaged(damage: Callable[[Path], None]) -> Callable[[Harness], AbstractContextManager[None]]:
    """The fault that is `damage` to the store's file, whose bytes must still be there afterwards."""

    @contextmanager
    def inject(harness: Harness) -> Iterator[None]:
        file = harness.home / "data" / "stigmer.db"
        if not file.exists():
            harness.stigmer.ok("up")
            harness.stigmer.ok("down")
        damage(file)
        before = file.read_bytes()
        with _down_again(harness):
            yield
            kept = [one.read_bytes() for one in file.parent.glob("damaged-*/stigmer.db")]
            assert before in kept, "the damaged file is kept as it was"

    return inject


@contextmanager
def gone(harness: Harness) -> Iterator[None]:
    """The store was deleted while the stack was down."""
    file = harness.home / "data" / "stigmer.db"
    if not file.exists():
        harness.stigmer.ok("up")
        harness.stigmer.ok("down")
    file.unlink()
    with _down_again(harness):
        yield


def header(file: Path) -> None:
    """The first bytes, by which a SQLite file is known."""
    with file.open("r+b") as opened:
        opened.write(b"\xff" * HEADER_BYTES)


def page(file: Path) -> None:
    """One page in the middle."""
    with file.open("r+b") as opened:
        opened.seek(PAGE_BYTES * (file.stat().st_size // PAGE_BYTES // 2))
        opened.write(b"\xff" * PAGE_BYTES)


def emptied(file: Path) -> None:
    """All of it."""
    file.write_bytes(b"")


@contextmanager
def _down_again(harness: Harness) -> Iterator[None]:
    try:
        yield
    finally:
        harness.stigmer("down")
