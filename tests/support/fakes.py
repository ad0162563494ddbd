"""Fakes that behave: a clock that only moves when told to, a connection that is in the state it is put in."""

import asyncio
from datetime import UTC, datetime, timedelta

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.temporal.connection import ConnectionStatus

START = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


class ManualClock:
    """Time that stands until `advance` or `move` moves it; `advance` wakes the sleepers whose moment has come."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0
        self._asleep_s = 0.0
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def asleep_s(self) -> float:
        return self._asleep_s

    async def sleep(self, delay_s: float) -> None:
        until = self._monotonic + delay_s
        async with self._moved:
            await self._moved.wait_for(lambda: self._monotonic >= until)

    def set(self, by_s: float) -> None:
        """Step the wall clock; the monotonic one goes on as if nothing had happened, and no sleeper wakes."""
        self._now += timedelta(seconds=by_s)

    def suspend(self, for_s: float) -> None:
        """Suspend the machine: wall time goes on, and the monotonic clock stands, as on Linux."""
        self._now += timedelta(seconds=for_s)
        self._asleep_s += for_s

    def move(self, seconds: float) -> None:
        """Let time pass without waking anybody."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    async def advance(self, seconds: float) -> None:
        self.move(seconds)
        async with self._moved:
            self._moved.notify_all()


class SwitchedLink:
    """A connection to Temporal that is in the state a test puts it in."""

    def __init__(self, state: ConnectionState = ConnectionState.CONNECTED, *, cause: str = "") -> None:
        self.generation = 0
        self._connected = asyncio.Event()
        self._changed = asyncio.Event()
        self.put(state, cause=cause)

    def put(
        self, state: ConnectionState, *, cause: str = "", since: datetime = START, cluster: str = "cluster-1"
    ) -> None:
        """Enter `state`; each CONNECTED is a new generation, of `cluster`."""
        self._status = ConnectionStatus(
            state=state,
            address="127.0.0.1:7233",
            namespace="default",
            since=since,
            cause=cause,
            attempt=0,
            next_try_at=None,
            reconnects=0,
            cluster_id=cluster,
            namespace_id="namespace-1",
            history=(),
        )
        if state is ConnectionState.CONNECTED:
            self.generation += 1
            self._connected.set()
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
        else:
            self._connected.clear()

    def status(self) -> ConnectionStatus:
        return self._status

    async def wait_connected(self) -> None:
        await self._connected.wait()

    async def wait_generation(self, after: int) -> int:
        while self.generation <= after:
            await self._changed.wait()
        return self.generation
