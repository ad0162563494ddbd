"""Faults that a stack finds when it is started: each begins with a stack that is down, and ends with it down again."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.e2e.faults.fault import On, Row
from tests.e2e.faults.harness import Harness
from tests.support.temporal_server import DevServer

HEADER_BYTES, PAGE_BYTES = 100, 4096
ASIDE = "mkdir -p ~/.stigmer/data/damaged-TIME && mv ~/.stigmer/data/stigmer.db* ~/.stigmer/data/damaged-TIME/"
ASIDE_ONLY = "and there is no copy of it: move it aside and begin with an empty one"


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


ROWS: tuple[Row, ...] = (
    Row(
        fault="T17",
        what="somebody else's Temporal is on our port",
        on=On.COLD,
        inject=foreign_temporal,
        code="STG103",
        exit_code=1,
        verdict="not healthy: port 7233 for temporal is held by pid N (COMMAND)",
        fix="stigmer up --auto-ports",
        is_slow=True,
    ),
    Row(
        fault="P7",
        what="another process is on the server's port",
        on=On.COLD,
        inject=foreign_listener,
        code="STG103",
        exit_code=1,
        verdict="not healthy: port 7234 for server is held by pid N (COMMAND)",
        fix="stigmer up --auto-ports",
    ),
    Row(
        fault="T16",
        what="the temporal binary is missing",
        on=On.COLD,
        inject=no_binary,
        code="STG112",
        exit_code=1,
        verdict="not healthy: Temporal cannot be started: the temporal binary /nowhere/temporal is not a file that can"
        " be run",
        fix="unset STIGMER_TEMPORAL_BINARY && stigmer up",
    ),
    Row(
        fault="D8",
        what="a page of the store is damaged",
        on=On.COLD,
        inject=damaged(page),
        code="STG302",
        exit_code=1,
        verdict="not healthy: ~/.stigmer/data/stigmer.db is damaged: Page N: btreeInitPage() returns error code 11; it"
        " is left as it is",
        fix=f"stigmer down; {ASIDE} && sqlite3 -readonly ~/.stigmer/data/damaged-TIME/stigmer.db .dump"
        " | sed 's/^ROLLBACK;.*/COMMIT;/' | sqlite3 ~/.stigmer/data/stigmer.db && stigmer up",
    ),
    Row(
        fault="D8",
        what="the header of the store is damaged",
        on=On.COLD,
        inject=damaged(header),
        code="STG301",
        exit_code=1,
        verdict="not healthy: ~/.stigmer/data/stigmer.db is not a SQLite database: its header is damaged; it is left as"
        f" it is, {ASIDE_ONLY}",
        fix=f"stigmer down; {ASIDE} && stigmer up --new-store",
        is_slow=True,
    ),
    Row(
        fault="D8",
        what="the store is empty",
        on=On.COLD,
        inject=damaged(emptied),
        code="STG301",
        exit_code=1,
        verdict=f"not healthy: ~/.stigmer/data/stigmer.db is empty; it is left as it is, {ASIDE_ONLY}",
        fix=f"stigmer down; {ASIDE} && stigmer up --new-store",
        is_slow=True,
    ),
    Row(
        fault="D8",
        what="the store was deleted while the stack was down",
        on=On.COLD,
        inject=gone,
        code="STG301",
        exit_code=1,
        verdict="not healthy: ~/.stigmer/data/stigmer.db is gone: it held the executions of this home (str-ID)",
        fix="stigmer down; stigmer up --new-store",
        is_slow=True,
    ),
)
