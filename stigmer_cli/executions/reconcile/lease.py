"""The lease of a requested reconcile: one holder at a time per store, who renews it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stigmer_cli.clock import Clock, iso
from stigmer_cli.domain.stuck import RECONCILE
from stigmer_cli.errors import Conflict
from stigmer_cli.store.store import Store

KEY = "reconcile_turn"  # the name in databases that exist
LEASE_S = 30.0
"""How long a holder that was killed keeps the callers of other servers waiting; see `reclaim_lease` for its own."""

RENEW_S = 5.0
"""How old a lease may become before it is renewed: most of it is always left for what takes long."""

FREE = "free"
NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who reconciles, since when, and when the lease ends, by `_lease_time`."""

    holder: str
    since: datetime
    until: datetime

    def to_text(self) -> str:
        """The form in which the store keeps it."""
        return json.dumps({"holder": self.holder, "since": iso(self.since), "until": iso(self.until)})


class HeldLease:
    """A lease that is held; `renew` keeps it."""

    def __init__(self, store: Store, clock: Clock, lease: Lease) -> None:
        self._store = store
        self._clock = clock
        self._lease = lease

    async def renew(self) -> None:
        """Keep the lease for another `LEASE_S`; raises Conflict where it was lost meanwhile."""
        now = _lease_time(self._store, self._clock)
        if self._lease.until - now > timedelta(seconds=LEASE_S - RENEW_S):
            return
        fresh = Lease(holder=self._lease.holder, since=self._lease.since, until=now + timedelta(seconds=LEASE_S))
        if not await self._store.meta.swap(KEY, self._lease.to_text(), fresh.to_text()):
            raise Conflict("this reconcile was paused for so long that another took its place", hint="run it again")
        self._lease = fresh

    async def give_back(self) -> None:
        """Let the next one begin."""
        await self._store.meta.swap(KEY, self._lease.to_text(), FREE)


async def reclaim_lease(store: Store) -> None:
    """Free the lease of a holder that is gone: for a server that starts on a store which no other can have open."""
    known = await store.meta.get(KEY)
    if known is not None and known != FREE:
        await store.meta.swap(KEY, known, FREE)


@asynccontextmanager
async def hold_lease(store: Store, *, holder: str, clock: Clock) -> AsyncIterator[HeldLease]:
    """Hold the lease within the block; raises Conflict, naming who holds it and since when, where it is taken."""
    now = _lease_time(store, clock)
    lease = Lease(holder=holder, since=clock.now(), until=now + timedelta(seconds=LEASE_S))
    known = await store.meta.get_or_set(KEY, lease.to_text())
    if known != lease.to_text():
        _check_free(known, now)
        if not await store.meta.swap(KEY, known, lease.to_text()):
            raise Conflict("another reconcile began at the same moment", hint=f"{RECONCILE} --wait")
    held = HeldLease(store, clock, lease)
    try:
        yield held
    finally:
        await held.give_back()


def _lease_time(store: Store, clock: Clock) -> datetime:
    """The clock that leases are written and judged by, which nobody can set.

    Where several servers share the store it is the store's own. Else all callers are in this process, and since
    `reclaim_lease` no lease is older than it: its monotonic clock is enough.
    """
    return store.clock.now() if store.is_shared else NEVER + timedelta(seconds=clock.monotonic())


def _check_free(known: str, now: datetime) -> None:
    if known == FREE:
        return
    found = json.loads(known)
    if datetime.fromisoformat(found["until"]) > now:
        raise Conflict(
            f"{found['holder']} has been reconciling since {found['since']}",
            hint=f"{RECONCILE} --wait",
        )
