"""How fast orphans are found and brought back, beside a bare SDK client's starts on the same Temporal in the same run.

    python tests/benchmarks/bench_reconcile.py [--orphans N] [--same-temporal] [--json FILE]

Writes N executions into a store as a Temporal that lost its memory leaves them (PENDING, submitted, gone), asks the
server for a dry run and then for the whole of it, as `stigmer executions reconcile` does, and watches the memory of the
server. With `--same-temporal` the one that answers is the one that took them, so that each has to be asked about by
itself. 10,000 take about two minutes; 100,000 (`--orphans 100000`) a quarter of an hour.
"""

import argparse
import asyncio
import json
import random
import shutil
import sqlite3
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
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import Kind
from stigmer_cli.executions.mint import Mint
from tests.benchmarks.bare import starts, until_serving
from tests.eventually import eventually
from tests.served import Served, make_agent, served
from tests.temporal_server import DevServer

WARM_STARTS = 3000
"""A Temporal with a fresh file starts its first thousands faster than all that come after them."""

BARE_STARTS = 1000
AN_HOUR_US = 3600 * 1_000_000
SAMPLE_S = 0.2
MIB = 1024 * 1024

INSERT = """
INSERT INTO executions (id, kind, agent_id, agent_name, message, labels, phase, epoch, version, event_seq, created_at,
    queue_reason, queue_detail, queued_since, attempts, submitted_at, run_id, world, claimed_attempt, request_hash)
VALUES (?1, 'agent', 'agt-00000000000000000000000000', 'greeter', 'hello', '{}', 'PENDING', 1, 2, 2, ?2,
    'accepted', '', ?2, 0, ?2, ?3, ?4, 0, '')
"""


def _write_orphans(file: Path, number: int, *, taken_by: str) -> None:
    """Rows as Temporal leaves them that has lost its memory, an hour old; the server must not be running."""
    mint = Mint(SystemClock(), random.Random(1))
    an_hour_ago_us = int(time.time() * 1e6) - AN_HOUR_US
    with closing(sqlite3.connect(file)) as store:
        rows = [
            (mint.execution_id(Kind.AGENT), an_hour_ago_us + index, f"run-{index}", taken_by) for index in range(number)
        ]
        store.executemany(INSERT, rows)
        for seq, kind in ((1, "accepted"), (2, "submitted")):
            store.executemany(
                "INSERT INTO events (execution_id, seq, at, type, text, data) VALUES (?, ?, ?, ?, ?, '{}')",
                [(name, seq, at, kind, kind) for name, at, *_ in rows],
            )
        store.commit()


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


async def _reconcile(server: Served, *, dry_run: bool) -> tuple[float, int, ReconcileSummary]:
    """Seconds, items told, and the summary."""
    begun, items, summary = time.perf_counter(), 0, ReconcileSummary()
    async with server.client() as client:
        async for told in client.reconcile(ReconcileRequest(dry_run=dry_run, asked_by="benchmark")):
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
        world = await eventually(lambda: asyncio.to_thread(_world, file), within_s=10)
        server.terminate()
        server.process = None
    await asyncio.to_thread(_write_orphans, file, orphans, taken_by=world if is_same else "another")


def _world(file: Path) -> str:
    """Which Temporal the server has written down; empty before."""
    with closing(sqlite3.connect(file)) as store:
        found = store.execute("SELECT value FROM meta WHERE key LIKE 'temporal_world %'").fetchone()
        return str(found[0]) if found else ""


async def _measure(root: Path, orphans: int, *, is_same: bool) -> dict[str, float]:
    with DevServer(root, file=root / "temporal.db") as temporal:
        temporal.start()
        await until_serving(temporal.address)
        await _prepare(root, temporal.address, orphans, is_same=is_same)
        await starts(temporal.address, WARM_STARTS)
        before = BARE_STARTS / await starts(temporal.address, BARE_STARTS)
        async with served(root, temporal.address, {"STIGMER_RECONCILE": "manual"}) as server:
            await server.until()
            async with _watched(server) as memory:
                dry_s, planned, _ = await _reconcile(server, dry_run=True)
                run_s, told, summary = await _reconcile(server, dry_run=False)
        after = BARE_STARTS / await starts(temporal.address, BARE_STARTS)
    assert planned == told == orphans, f"{planned} planned, {told} told of {orphans}"
    bare = (before + after) / 2
    return {
        "orphans": orphans,
        "resubmitted": summary.resubmitted,
        "dry run, s": dry_s,
        "dry run, a second": orphans / dry_s,
        "run, s": run_s,
        "run, a second": summary.resubmitted / run_s,
        "bare SDK client, starts a second, before": before,
        "bare SDK client, starts a second, after": after,
        "ratio to the bare client": summary.resubmitted / run_s / bare,
        "memory of the server at first, MiB": memory.first / MIB,
        "memory grew by, MiB": (memory.most - memory.first) / MIB,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orphans", type=int, default=10_000)
    parser.add_argument("--same-temporal", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="stigmer-bench-"))
    try:
        figures = asyncio.run(_measure(root, arguments.orphans, is_same=arguments.same_temporal))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print("| what | figure |\n|---|---|")
    for name, figure in figures.items():
        print(f"| {name} | {figure:.2f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
