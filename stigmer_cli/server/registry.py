"""Which servers share this store, and that all of them are on one Temporal.

Two Temporals on one store would each call the other's executions lost. So a server names itself and its Temporal in the
store every second, and goes on no Temporal that a living server does not share:

    dialled ──▶ nobody lives on another ──▶ admitted
       │
       └──▶ one does ──▶ refused (nothing is submitted or judged) ──it insists for INSIST_S──▶ this server ends

A Temporal that comes back without its memory is another one, too: its servers notice that one after the other, and none
of them insists on what is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import ServerId
from stigmer_cli.errors import OtherTemporal
from stigmer_cli.executions.temporal_api import TemporalLink
from stigmer_cli.store.servers import SeenServer, ServerRecord
from stigmer_cli.store.store import Store
from stigmer_cli.temporal.errors import Misconfigured

BEAT_EVERY_S = 1.0
ALONE_EVERY_S = 3600.0
"""A SQLite file is locked for one server: no other waits for its signs of life."""

LIVING_S = 10.0
"""How long after its last sign of life a server counts: a busy machine may miss some."""

INSIST_S = 3.0
"""Another server that has been on another Temporal for this long, with signs of life, will stay there."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class _Rival:
    """Another living server is on another Temporal: first seen when, and with which sign of life."""

    other: ServerId
    since: float
    seen_at: datetime


class ServerRegistry:
    """This server among those of its store.

    `request` is a file whose presence asks for the move of the store to this server's Temporal, once. `link` is the
    connection to it, once there is one.
    """

    def __init__(
        self,
        store: Store,
        record: ServerRecord,
        *,
        clock: Clock,
        request: Path,
    ) -> None:
        self._store = store
        self._record = record
        self._clock = clock
        self._request = request
        self._rival: _Rival | None = None
        self.servers: Sequence[SeenServer] = ()
        self.link: TemporalLink | None = None

    @property
    def is_refusing(self) -> bool:
        """Whether it refuses its Temporal, because another living server was on another one at the last look."""
        return self._rival is not None

    async def admit(self, cluster: str) -> None:
        """Return where this server may use the Temporal `cluster`.

        Raises Misconfigured while another living server of the store is on another one, OtherTemporal once it insists.
        """
        if self._request.exists():
            await self._adopt(cluster)
            return
        if not self._store.is_shared:
            return
        other = self._find_other(await self._read_living(), cluster)
        if other is None:
            self._rival = None
            return
        words = _describe(other)
        if self._insists(other):
            raise _refuse(words)
        raise Misconfigured(words, hint=OtherTemporal.way_out)

    async def run(self) -> None:
        """Give signs of life, for ever; raises OtherTemporal where the store belongs to another Temporal now."""
        try:
            while True:
                await self.run_once()
                await self._clock.sleep(BEAT_EVERY_S if self._store.is_shared else ALONE_EVERY_S)
        finally:
            await self._store.servers.leave(self._record.id)

    async def run_once(self) -> None:
        """One sign of life, and one look at the others."""
        status = self.link.status() if self.link else None
        cluster = status.cluster if status and status.is_connected else None
        await self._store.servers.beat(self._record, cluster)
        living = await self._read_living()
        if cluster is None:
            return
        mine = next((one for one in living if one.record.id == self._record.id), None)
        await self._check_adoption(mine, cluster)
        other = self._find_other(living, cluster)
        if other is None:
            self._rival = None
        elif mine is not None and mine.cluster_since > other.cluster_since and self._insists(other):
            raise _refuse(_describe(other))

    async def _read_living(self) -> Sequence[SeenServer]:
        self.servers = await self._store.servers.read_living(within_s=LIVING_S)
        return self.servers

    def _find_other(self, living: Sequence[SeenServer], cluster: str) -> SeenServer | None:
        """The first of the others that is on another Temporal than `cluster`."""
        return next(
            (one for one in living if one.record.id != self._record.id and one.cluster not in (None, cluster)), None
        )

    def _insists(self, other: SeenServer) -> bool:
        """Whether `other` has been seen alive on its Temporal for `INSIST_S`."""
        now = self._clock.monotonic()
        known = self._rival
        if known is None or known.other != other.record.id:
            self._rival = _Rival(other=other.record.id, since=now, seen_at=other.seen_at)
            log.warning(
                "server_on_another_temporal", other=other.record.id, host=other.record.host, world=other.cluster
            )
            return False
        lived_on = other.seen_at - known.seen_at >= timedelta(seconds=INSIST_S - BEAT_EVERY_S)
        return now - known.since >= INSIST_S and lived_on

    async def _adopt(self, cluster: str) -> None:
        await self._store.servers.adopt(self._record.id, cluster)
        self._request.unlink(missing_ok=True)
        log.warning("temporal_adopted", world=cluster, server=self._record.id)

    async def _check_adoption(self, mine: SeenServer | None, cluster: str) -> None:
        adoption = await self._store.servers.adoption()
        if mine is None or adoption is None or adoption.cluster == cluster or adoption.at <= mine.cluster_since:
            return
        raise _refuse(f"server {adoption.server} has moved this store to another Temporal than this server's")


def _refuse(words: str) -> OtherTemporal:
    """The error that ends this server, logged with its code."""
    log.error("server_refused", code=OtherTemporal.code, cause=words)
    return OtherTemporal(words)


def _describe(other: SeenServer) -> str:
    record = other.record
    return (
        f"server {record.id} (pid {record.pid} on {record.host}, version {record.version}) uses this store with another"
        f" Temporal, at {record.address}; each server would take the other's executions for lost"
    )
