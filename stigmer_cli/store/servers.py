"""The servers that have a store open: who they are, which Temporal each is on, and which of them are alive.

Moments are of the store's clock (`store/clock.py`), which all its servers share.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, bindparam, case, delete, select, update

from stigmer_cli.clock import SKEW_MAX, iso
from stigmer_cli.domain.identity import ServerId
from stigmer_cli.store.database import Database, whole
from stigmer_cli.store.tables import meta, servers

ADOPTED = "temporal_adopted"
"""The key in `meta` of the Temporal that a person moved the store to, and of who did so."""

FORGOTTEN = timedelta(days=1)
"""A server that was not seen for so long leaves no row."""

_ROW = servers.c


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """A server as it names itself; `address` is that of its Temporal."""

    id: ServerId
    version: str
    host: str
    pid: int
    address: str


@dataclass(frozen=True, kw_only=True)
class SeenServer:
    """A server as the store knows it; `cluster` names its Temporal (cluster and namespace id), None while it has none.

    `seen_at` is when it was seen last: it grows while the server lives. `cluster_since`: since when it is on `cluster`.
    """

    record: ServerRecord
    cluster: str | None
    cluster_since: datetime
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """A person moved the store to the Temporal `cluster`, through `server`."""

    cluster: str
    server: ServerId
    at: datetime


class ServerTable:
    """Servers by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def beat(self, record: ServerRecord, cluster: str | None) -> None:
        """Note that `record` is alive, and which Temporal it is on."""
        async with self._database.writing() as writing:
            now = writing.now
            named: dict[str, object] = {
                "id": record.id,
                "version": record.version,
                "host": record.host,
                "pid": record.pid,
                "address": record.address,
            }
            added = await writing.connection.execute(
                writing.backend.insert_or_skip(servers, "id"), {**named, "seen_at": now}
            )
            is_new = added.scalar_one_or_none() is not None
            is_same = _ROW.world.is_not_distinct_from(cluster) & _ROW.world_since.is_not(None)
            since = case((is_same, _ROW.world_since), else_=bindparam("now", now, type_=_ROW.seen_at.type))
            await writing.connection.execute(
                update(servers).where(_ROW.id == record.id).values(world=cluster, world_since=since, seen_at=now)
            )
            if is_new:
                await writing.connection.execute(delete(servers).where(_ROW.seen_at < now - FORGOTTEN))

    @whole
    async def read_living(self, *, within_s: float) -> Sequence[SeenServer]:
        """Those that were seen in the last `within_s` seconds, by id."""
        async with self._database.reading() as connection:
            now = self._database.clock.now()
            # A living server writes again by the clock as it is now; a moment in the future is from before it was set.
            is_living = _ROW.seen_at.between(now - timedelta(seconds=within_s), now + SKEW_MAX)
            found = await connection.execute(select(servers).where(is_living).order_by(_ROW.id))
            return [_server_of(row) for row in found.mappings()]

    @whole
    async def leave(self, server_id: ServerId) -> None:
        """Forget a server that ends."""
        async with self._database.writing() as writing:
            await writing.connection.execute(delete(servers).where(_ROW.id == server_id))

    @whole
    async def adopt(self, server_id: ServerId, cluster: str) -> None:
        """Move the store to the Temporal `cluster`: servers that were on another one before no longer count."""
        async with self._database.writing() as writing:
            value = json.dumps({"world": cluster, "server": server_id, "at": iso(writing.now)})
            added = await writing.connection.execute(
                writing.backend.insert_or_skip(meta, "key"), {"key": ADOPTED, "value": value}
            )
            if added.scalar_one_or_none() is None:
                await writing.connection.execute(update(meta).where(meta.c.key == ADOPTED).values(value=value))

    @whole
    async def adoption(self) -> Adoption | None:
        """The last move to another Temporal that a person made; None if there was none."""
        async with self._database.reading() as connection:
            value = await connection.scalar(select(meta.c.value).where(meta.c.key == ADOPTED))
        if value is None:
            return None
        found = json.loads(value)
        return Adoption(
            cluster=found["world"], server=ServerId(found["server"]), at=datetime.fromisoformat(found["at"])
        )


def _server_of(row: RowMapping) -> SeenServer:
    record = ServerRecord(
        id=row["id"], version=row["version"], host=row["host"], pid=row["pid"], address=row["address"]
    )
    return SeenServer(record=record, cluster=row["world"], cluster_since=row["world_since"], seen_at=row["seen_at"])
