"""Executions by the dozen that Temporal has forgotten, in front of a server that reconciles only when told to."""

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import Kind
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.executions.ids import IdGenerator
from tests.support.running_server import Served, accept, make_agent
from tests.support.temporal_server import DevServer

ACCEPT_AT_ONCE = 16
AN_HOUR_US = 3600 * 1_000_000

INSERT = """
INSERT INTO executions (id, kind, agent_id, agent_name, message, labels, phase, epoch, version, event_seq, created_at,
    queue_reason, queue_detail, queued_since, attempts, submitted_at, run_id, world, claimed_attempt, request_hash)
VALUES (:id, 'agent', 'agt-00000000000000000000000000', 'greeter', 'hello', '{}', 'PENDING', 1, 2, 2, :born,
    'accepted', '', :born, 0, :submitted, :run, :world, 0, '')
"""


def write_orphans(file: Path, number: int, *, taken_by: str) -> list[str]:
    """Rows as Temporal leaves them that has lost its memory, an hour old; the server must not be running. Their ids."""
    ids = IdGenerator(SystemClock(), random.SystemRandom())
    born_us = int(time.time() * 1e6) - AN_HOUR_US
    names = [ids.execution_id(Kind.AGENT) for _ in range(number)]
    with closing(sqlite3.connect(file)) as store:
        store.executemany(
            INSERT,
            [
                {"id": name, "born": born_us + n, "submitted": born_us + n, "run": f"run-{n}", "world": taken_by}
                for n, name in enumerate(names)
            ],
        )
        for seq, kind in ((1, "accepted"), (2, "submitted")):
            store.executemany(
                "INSERT INTO events (execution_id, seq, at, type, text, data) VALUES (?, ?, ?, ?, ?, '{}')",
                [(name, seq, born_us + n, kind, kind) for n, name in enumerate(names)],
            )
        store.commit()
    return [str(name) for name in names]


def cluster_of(file: Path) -> str:
    """Which Temporal the server has written down in its store; empty before."""
    with closing(sqlite3.connect(file)) as store:
        found = store.execute("SELECT value FROM meta WHERE key LIKE 'temporal_world %'").fetchone()
        return str(found[0]) if found else ""


class Orphanage:
    """The server, beside a Temporal in memory, and no runner."""

    def __init__(self, home: Path, temporal: DevServer, settings: Mapping[str, str] | None = None) -> None:
        self.temporal = temporal
        self.server = Served(home, temporal.address, {"STIGMER_RECONCILE": "manual", **(settings or {})})

    async def make_orphans(self, number: int) -> None:
        """Have `number` executions accepted and submitted, and Temporal forget them all."""
        await self.server.start()
        async with self.server.client() as client:
            await make_agent(client)
            gate = asyncio.Semaphore(ACCEPT_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for n in range(number):
                    group.create_task(_accept(client, n, gate), name=f"accept {n}")
            await self._until_found(client, {"submitted": number})
            self.temporal.kill()
            self.temporal.start()
            await self._until_found(client, {"orphan": number})

    async def _until_found(self, client: Client, wanted: dict[str, int]) -> None:
        async with asyncio.timeout(60):
            while await self._found(client) != wanted:  # noqa: ASYNC110 - another process is looked at
                await asyncio.sleep(0.3)

    async def _found(self, client: Client) -> dict[str, int]:
        """How many orphans there are; where there are none, how many have been submitted."""
        try:
            items = [found async for found in client.reconcile(ReconcileRequest(dry_run=True))]
        except TemporalUnavailable:
            return {}
        found = Counter(item.found for item in items if isinstance(item, ReconcileItem))
        return dict(found) or {"submitted": len(self.timelines("submitted"))}

    def timelines(self, event: str) -> Counter[str]:
        """How often `event` stands in the timeline of each execution: the ledger."""
        query = "SELECT execution_id, count(*) FROM events WHERE type = ? GROUP BY execution_id"
        with closing(sqlite3.connect(f"file:{self.server.home}/data/stigmer.db?mode=ro", uri=True)) as database:
            return Counter(dict(database.execute(query, (event,)).fetchall()))


async def _accept(client: Client, number: int, gate: asyncio.Semaphore) -> None:
    async with gate:
        await accept(client, f"orphan-{number}")
