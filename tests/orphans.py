"""Executions by the dozen that Temporal has forgotten, in front of a server that reconciles only when told to."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.client import Client
from stigmer_cli.errors import TemporalUnavailable
from tests.served import Served, accept, make_agent
from tests.temporal_server import DevServer

ACCEPT_AT_ONCE = 16


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
