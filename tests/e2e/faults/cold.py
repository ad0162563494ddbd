"""Faults that a stack finds when it is started: each begins with a stack that is down, and ends with it down again."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.e2e.faults.stage import Stage
from tests.support.temporal_server import DevServer

HEADER_BYTES, PAGE_BYTES = 100, 4096


@contextmanager
def foreign_temporal(stage: Stage) -> Iterator[None]:
    """Somebody else's Temporal on our port: named, never used, never ended."""
    with DevServer(stage.folder, port=int(stage.stigmer.environment["STIGMER_TEMPORAL_PORT"])) as foreign:
        foreign.start()
        with _down_again(stage):
            yield
        foreign.operator("cluster", "health")


@contextmanager
def foreign_listener(stage: Stage) -> Iterator[None]:
    """Somebody else's process on the server's port."""
    with socket.create_server(("127.0.0.1", int(stage.stigmer.environment["STIGMER_SERVER_PORT"]))), _down_again(stage):
        yield


@contextmanager
def no_binary(stage: Stage) -> Iterator[None]:
    """The binary that was named is not there."""
    stage.stigmer.environment["STIGMER_TEMPORAL_BINARY"] = "/nowhere/temporal"
    try:
        with _down_again(stage):
            yield
    finally:
        del stage.stigmer.environment["STIGMER_TEMPORAL_BINARY"]


def damaged(damage: Callable[[Path], None]) -> Callable[[Stage], AbstractContextManager[None]]:
    """The fault that is `damage` to the store's file, whose bytes must still be there afterwards."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        file = stage.home / "data" / "stigmer.db"
        if not file.exists():
            stage.stigmer.ok("up")
            stage.stigmer.ok("down")
        damage(file)
        before = file.read_bytes()
        with _down_again(stage):
            yield
            kept = [one.read_bytes() for one in file.parent.glob("damaged-*/stigmer.db")]
            assert before in kept, "the damaged file is kept as it was"

    return inject


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
def _down_again(stage: Stage) -> Iterator[None]:
    try:
        yield
    finally:
        stage.stigmer("down")
