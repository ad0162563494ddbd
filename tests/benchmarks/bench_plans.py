"""What each query of the store costs at 100,000 open executions: with INDEXED BY, and with what might stand for it.

Milliseconds, the best of five.
"""

import asyncio
import random
import re
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event

from stigmer_cli.store.store import Store, open_store
from tests.benchmarks.report import Benchmark, Row
from tests.contracts.store.drafts import START, RealSleepClock, accepted
from tests.integration.store.test_plans import AGED, LATER, _ask, _mark

OPEN, QUICK_OPEN = 100_000, 10_000
HINTED = "INDEXED BY"
NAMED = 50
TRIES = 5
HINT = re.compile(r" INDEXED BY \w+")
Asked = dict[str, tuple[str, tuple[Any, ...]]]

PHASE_FIRST = {
    "ix_executions_queue": "phase, created_at, id, next_try_at",
    "ix_executions_next_try": "phase, next_try_at",
    "ix_executions_cancel": "phase, cancel_requested_at, id",
    "ix_executions_open": "phase, id",
}
"""Partial indexes of another shape, which SQLite might prefer by itself."""

QUERIES: Mapping[str, Callable[[Store], Awaitable[object]]] = {
    "due": lambda s: s.executions.read_due(now=LATER, limit=10),
    "next due": lambda s: s.executions.next_due_at(),
    "queued": lambda s: s.executions.queued_count(),
    "cancel": lambda s: s.executions.find_cancel_requested(limit=10),
    "open": lambda s: s.executions.open_after(aged=AGED, after=None, limit=10),
}


async def recorded(file: Path) -> Asked:
    """The statements of the store, with their parameters, as it sends them."""
    asked: Asked = {}
    name = ""

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        if HINT.search(statement):
            asked[name] = statement, tuple(parameters)

    async with await open_store(f"sqlite:///{file}", clock=RealSleepClock()) as store:
        names = [await accepted(store) for _ in range(NAMED)]
        for backend in (store._database._backend.reader, store._database._backend.writer):
            event.listen(backend.sync_engine, "before_cursor_execute", note)
        for name, ask in QUERIES.items():  # noqa: B007 - `note` reads it
            await ask(store)
        name = "asked by id"
        await _ask(store, names)
        name = "marked by id"
        await _mark(store, names)
    return asked


def fill(db: sqlite3.Connection, size: int) -> None:
    """Half wait to be submitted, three tenths for a runner, two tenths run; as many are finished, and older."""
    rng, moment = random.Random(1), int(START.timestamp()) * 1_000_000
    columns = [row[1] for row in db.execute("PRAGMA table_info(executions)")]
    first = dict(zip(columns, db.execute("SELECT * FROM executions LIMIT 1").fetchone(), strict=True))
    db.execute("DELETE FROM executions")
    for i in range(2 * size):
        stage = "done" if i < size else rng.choices(("queued", "submitted", "running"), (5, 3, 2))[0]
        phase = {"done": "COMPLETED", "running": "IN_PROGRESS"}.get(stage, "PENDING")
        row = first | {
            "id": f"aex-{i:026d}",
            "phase": phase,
            "created_at": moment + i,
            "next_try_at": moment + rng.randrange(10**9) if stage == "queued" else None,
            "submitted_at": None if stage == "queued" else moment,
            "claimed_run": "run" if stage in {"running", "done"} else None,
            "cancel_requested_at": moment if stage != "done" and rng.random() < 0.005 else None,
            "idempotency_key": None,
        }
        db.execute(f"INSERT INTO executions VALUES ({', '.join('?' * len(row))})", tuple(row.values()))  # noqa: S608


def measured(db: sqlite3.Connection, asked: Asked, size: int, *, hinted: bool) -> dict[str, float]:
    """For each statement the milliseconds of its best run; those that name executions name others."""
    named = iter(random.Random(2).sample(range(size, 2 * size), 2 * NAMED))
    told = {}
    for name, (statement, parameters) in asked.items():
        query = statement if hinted else HINT.sub("", statement)
        values = [f"aex-{next(named):026d}" if str(one).startswith("aex-") else one for one in parameters]
        times = []
        for _ in range(TRIES):
            begun = time.perf_counter()
            db.execute(query, values).fetchall()
            times.append(time.perf_counter() - begun)
        told[name] = min(times) * 1000
    return told


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that has read the statistics as they are now."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        yield db


def ways(file: Path, asked: Asked, size: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Each way to have SQLite find its index, and what the queries cost then."""
    with opened(file) as db:
        yield HINTED, measured(db, asked, size, hinted=True)
        yield "nothing", measured(db, asked, size, hinted=False)
        db.execute("PRAGMA analysis_limit=400")
        db.execute("PRAGMA optimize(0x10002)")
    with opened(file) as db:
        yield "optimize", measured(db, asked, size, hinted=False)
        db.execute("ANALYZE")
    with opened(file) as db:
        yield "ANALYZE", measured(db, asked, size, hinted=False)
        db.execute("CREATE TEMP TABLE kept AS SELECT * FROM executions WHERE phase <> 'COMPLETED'")
        db.execute("DELETE FROM executions WHERE phase <> 'COMPLETED'")
        db.execute("ANALYZE")
        db.execute("INSERT INTO executions SELECT * FROM kept")
    with opened(file) as db:
        yield "ANALYZE, old", measured(db, asked, size, hinted=False)
        for table in ("sqlite_stat1", "sqlite_stat4"):
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                db.execute(f"DELETE FROM {table}")  # noqa: S608
        for name, columns in PHASE_FIRST.items():
            (sql,) = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            db.execute(f"DROP INDEX {name}")
            db.execute(f"CREATE INDEX {name} ON executions ({columns}) WHERE {sql.split(' WHERE ', 1)[1]}")
    with opened(file) as db:
        yield "phase first", measured(db, asked, size, hinted=False)


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Each query with its hint, beside the same query by each other way."""
    size = QUICK_OPEN if is_quick else OPEN
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stigmer.db"
        asked = asyncio.run(recorded(file))
        with opened(file) as db:
            db.execute("BEGIN")
            fill(db, size)
            db.execute("COMMIT")
        table = dict(ways(file, asked, size))
    hinted = table.pop(HINTED)
    return [
        Row(what=f"{query}, {HINTED}", measured=hinted[query], unit="ms", reference=way, beside=costs[query])
        for way, costs in table.items()
        for query in asked
    ]


BENCHMARK = Benchmark(
    name="plans",
    about="The store's queries at 100,000 open executions, with INDEXED BY and with what might stand for it.",
    run=run,
)
