"""How fast orphans are found and brought back, beside a bare SDK client's starts on the same Temporal in the same run.

Writes N executions into a store as a Temporal that lost its memory leaves them (PENDING, submitted, gone), asks the
server for a dry run, and then for all of it, as `stigmer executions reconcile` does, and watches the memory of the
server. It asks for a share of them at a time (`--limit`), and the bare client makes its starts between them, so that a
machine whose speed drifts, and a Temporal that grows, do so for both; what has been brought back is marked as ended in
between, as if a runner had performed it. Then the same with the Temporal that took them, so that each has to be asked
about by itself.
"""

import asyncio
import itertools
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest, ReconcileSummary
from tests.benchmarks.bare import starts, until_serving
from tests.benchmarks.report import Benchmark, Row
from tests.support.orphans import cluster_of, write_orphans
from tests.support.polling import eventually
from tests.support.running_server import Served, make_agent, served
from tests.support.temporal_server import DevServer

ORPHANS, ROUNDS = 10_000, 5
QUICK_ORPHANS, QUICK_ROUNDS = 1_000, 1
BUDGET = 0.85

WARM_STARTS = 3000
"""A Temporal with a fresh file starts its first thousands faster than all that come after them."""

BARE_STARTS = 1000
SAMPLE_S = 0.2
MIB = 1024 * 1024

END = """
UPDATE executions SET phase = 'COMPLETED', completed_at = :now, version = version + 1
WHERE phase = 'PENDING' AND submitted_at IS NOT NULL AND run_id NOT LIKE 'run-%'
"""
Figures = dict[str, float]
DRY, RESUBMITTED, BARE, GREW = "dry run", "resubmitted", "bare", "memory grew"


@dataclass
class Memory:
    """What the server occupied: at first, and at most."""

    first: int = 0
    most: int = 0


@asynccontextmanager
async def _watched(server: Served) -> AsyncIterator[Memory]:
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    memory = Memory(first=process.memory_info().rss)

    async def watch() -> None:
        while True:
            memory.most = max(memory.most, process.memory_info().rss)
            await asyncio.sleep(SAMPLE_S)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch())
        yield memory
        task.cancel()


async def _reconcile(server: Served, *, dry_run: bool, limit: int | None = None) -> tuple[float, int, ReconcileSummary]:
    """Seconds, items told, and the summary."""
    begun, items, summary = time.perf_counter(), 0, ReconcileSummary()
    async with server.client() as client:
        async for told in client.reconcile(ReconcileRequest(dry_run=dry_run, limit=limit, asked_by="benchmark")):
            if isinstance(told, ReconcileItem):
                items += 1
            elif isinstance(told, ReconcileSummary):
                summary = told
    return time.perf_counter() - begun, items, summary


async def _prepare(home: Path, temporal: str, orphans: int, *, is_same: bool) -> None:
    """A home with an agent and orphans."""
    async with served(home, temporal) as server, server.client() as client:
        await make_agent(client)
        file = home / "data" / "stigmer.db"
        cluster = await eventually(lambda: asyncio.to_thread(cluster_of, file), within_s=10)
        server.terminate()
        server.process = None
    await asyncio.to_thread(write_orphans, file, orphans, taken_by=cluster if is_same else "another")


def _end_all_submitted(file: Path) -> None:
    """As if a runner had performed what Temporal has: the next share does not have to look at it again."""
    with closing(sqlite3.connect(file, timeout=10)) as store:
        store.execute(END, {"now": int(time.time() * 1e6)})
        store.commit()


async def _measure(root: Path, orphans: int, rounds: int, *, is_same: bool) -> Figures:
    with DevServer(root, file=root / "temporal.db") as temporal:
        temporal.start()
        await until_serving(temporal.address)
        await _prepare(root, temporal.address, orphans, is_same=is_same)
        await starts(temporal.address, WARM_STARTS)
        async with served(root, temporal.address, {"STIGMER_RECONCILE": "manual"}) as server:
            await server.until()
            async with _watched(server) as memory:
                dry_s, planned, _ = await _reconcile(server, dry_run=True)
                assert planned == orphans, f"{planned} planned of {orphans}"
                bare_s, run_s, resubmitted = await _rounds(server, temporal.address, orphans, rounds)
    beside = [(before + after) / 2 / BARE_STARTS for before, after in itertools.pairwise(bare_s)]
    return {
        DRY: orphans / dry_s,
        RESUBMITTED: resubmitted / sum(run_s),
        BARE: 1 / statistics.mean(beside),
        GREW: (memory.most - memory.first) / MIB,
    }


async def _rounds(server: Served, address: str, orphans: int, rounds: int) -> tuple[list[float], list[float], int]:
    """Seconds of the bare client before, between and after the rounds; of each round; how many were brought back."""
    bare_s, run_s, resubmitted = [await starts(address, BARE_STARTS)], [], 0
    for _ in range(rounds):
        took_s, told, summary = await _reconcile(server, dry_run=False, limit=orphans // rounds)
        assert told == summary.resubmitted == orphans // rounds, f"{told} told of {orphans // rounds}: {summary}"
        run_s.append(took_s)
        resubmitted += summary.resubmitted
        bare_s.append(await starts(address, BARE_STARTS))
        await asyncio.to_thread(_end_all_submitted, server.home / "data" / "stigmer.db")
    return bare_s, run_s, resubmitted


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Executions that were brought back a second, and the server's memory."""
    orphans, rounds = (QUICK_ORPHANS, QUICK_ROUNDS) if is_quick else (ORPHANS, ROUNDS)
    return [*_rows(orphans, rounds, is_same=False), *_rows(orphans, rounds, is_same=True)]


def _rows(orphans: int, rounds: int, *, is_same: bool) -> Sequence[Row]:
    root = Path(tempfile.mkdtemp(prefix="stigmer-bench-"))
    try:
        figures = asyncio.run(_measure(root, orphans, rounds, is_same=is_same))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    how = "the same Temporal lost them" if is_same else "Temporal was emptied"
    return [
        Row(what=f"dry run over {orphans:,}, {how}", measured=figures[DRY], unit="a second"),
        Row(
            what=f"resubmitted, {how}",
            measured=figures[RESUBMITTED],
            unit="a second",
            reference="starts of a bare SDK client",
            beside=figures[BARE],
            budget=BUDGET,
            is_rate=True,
        ),
        Row(what=f"the server's memory grew by, {how}", measured=figures[GREW], unit="MiB"),
    ]


BENCHMARK = Benchmark(
    name="reconcile",
    about="How fast orphans are found and brought back, beside a bare SDK client's starts on the same Temporal.",
    run=run,
)
