"""How fast orphans are found and brought back, beside a bare SDK client's starts on the same Temporal in the same run.

    python tests/benchmarks/bench_reconcile.py [--orphans N] [--rounds N] [--same-temporal] [--json FILE]

Writes N executions into a store as a Temporal that lost its memory leaves them (PENDING, submitted, gone), asks the
server for a dry run, and then for all of it, as `stigmer executions reconcile` does, and watches the memory of the
server. With `--rounds` it asks for a share of them at a time (`--limit`), and the bare client makes its starts between
them, so that a machine whose speed drifts, and a Temporal that grows, do so for both; what has been brought back is
marked as ended in between, as if a runner had performed it. With `--same-temporal` the one that answers is the one that
took them, so that each has to be asked about by itself. 10,000 take about two minutes; 100,000 (`--orphans 100000`) a
quarter of an hour.
"""

import argparse
import asyncio
import itertools
import json
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest, ReconcileSummary
from tests.benchmarks.bare import starts, until_serving
from tests.support.orphans import cluster_of, write_orphans
from tests.support.polling import eventually
from tests.support.running_server import Served, make_agent, served
from tests.support.temporal_server import DevServer

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
    ratios = [bare * orphans / rounds / took for bare, took in zip(beside, run_s, strict=True)]
    return {
        "orphans": orphans,
        "resubmitted": resubmitted,
        "dry run, s": dry_s,
        "dry run, a second": orphans / dry_s,
        "run, s": sum(run_s),
        "run, a second": resubmitted / sum(run_s),
        "bare SDK client, starts a second": 1 / statistics.mean(beside),
        "ratio to the bare client": resubmitted / sum(run_s) * statistics.mean(beside),
        "lowest ratio of a round": min(ratios),
        "median ratio of the rounds": statistics.median(ratios),
        "highest ratio of a round": max(ratios),
        "memory of the server at first, MiB": memory.first / MIB,
        "memory grew by, MiB": (memory.most - memory.first) / MIB,
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orphans", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--same-temporal", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.orphans % arguments.rounds:
        parser.error("--orphans must be a multiple of --rounds")
    root = Path(tempfile.mkdtemp(prefix="stigmer-bench-"))
    try:
        figures = asyncio.run(_measure(root, arguments.orphans, arguments.rounds, is_same=arguments.same_temporal))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print("| what | figure |\n|---|---|")
    for name, figure in figures.items():
        print(f"| {name} | {figure:.2f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
