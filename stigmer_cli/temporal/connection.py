"""The one owner of the connection to Temporal: dials until connected, watches until lost, and reports its state.

States and transitions: see `state.py`. CONNECTED is entered only after the namespace was described and history
answered, through the very client that the calls use. SUSPECT still gives the client, so that one slow answer stops
nobody; only CONNECTED is healthy.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

from temporalio.client import Client

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import SKEW_MAX, Clock, until_next_s
from stigmer_cli.errors import InUse
from stigmer_cli.temporal.dial import Dialer, Line, SdkDialer, Session
from stigmer_cli.temporal.errors import REFUSED, Misconfigured, TemporalUnavailable, Throttled, cause_of, translate
from stigmer_cli.temporal.journal import Journal
from stigmer_cli.temporal.state import HAS_CLIENT, TRANSITIONS, Change, ClusterIdentity, ConnectionStatus
from stigmer_cli.temporal.target import Pace, Target, pace_of
from stigmer_cli.time_format import span, time_and_zone
from stigmer_cli.tls.files import Stamp
from stigmer_cli.waits import wait_at_most

__all__ = ["Change", "Connection", "ConnectionObserver", "ConnectionStatus", "Target"]

FILES_EVERY_S = 1.0
MEMORY_LOST = "Temporal lost its memory: another Temporal than before answers at this address"


Admit = Callable[[str], Awaitable[None]]
"""Asked of each Temporal that was dialled, by the name of its `ClusterIdentity`, before it is used.

Raises what keeps it from being used: Misconfigured and Unavailable are met by dialling again, InUse ends the loop.
"""


class ConnectionObserver(Protocol):
    """Counts what happens to the connection; must return at once."""

    def record_change(self, change: Change) -> None:
        """The state moved."""

    def record_probe(self, *, ok: bool, latency_s: float) -> None:
        """A probe ended."""

    def record_dial(self, *, ok: bool) -> None:
        """A dial ended."""


class Unobserved:
    """Counts nothing."""

    def record_change(self, change: Change) -> None:
        """Ignore it."""

    def record_probe(self, *, ok: bool, latency_s: float) -> None:
        """Ignore it."""

    def record_dial(self, *, ok: bool) -> None:
        """Ignore it."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a dial or a probe failed: in words, and whether a second look could change the verdict."""

    cause: str
    is_misconfigured: bool = False
    is_certain: bool = False

    @property
    def state(self) -> ConnectionState:
        """Where a failed dial leads."""
        return ConnectionState.MISCONFIGURED if self.is_misconfigured else ConnectionState.DISCONNECTED


class Connection:
    """Owns the client. `run` is its loop; everything else may be called at any time, from the same event loop."""

    def __init__(  # noqa: PLR0913 - the last two are seams for tests, with defaults
        self,
        target: Target,
        *,
        clock: Clock,
        rng: random.Random,
        identity: str,
        observer: ConnectionObserver | None = None,
        dialer: Dialer | None = None,
        pace: Pace | None = None,
        admit: Admit | None = None,
    ) -> None:
        self.target = target
        self.pace = pace or pace_of(target)
        self._clock = clock
        self._rng = rng
        self._identity = identity
        self._observer = observer or Unobserved()
        self._dialer = dialer or SdkDialer()
        self._admit = admit
        self._journal = Journal(target, clock=clock)
        self._state = ConnectionState.CONNECTING
        self._since, self._since_s = clock.now(), clock.monotonic()
        self._cause = "not dialled yet"
        self._attempt = 0
        self._next_try_at: datetime | None = None
        self._next_try_s = 0.0
        self._session: Session | None = None
        self._line: Line | None = None
        self._line_due_s = 0.0
        self._cluster: ClusterIdentity | None = None
        self._cluster_changes = 0
        self._generation = 0
        self._stamp: Stamp = ()
        self._changes = 0
        self._poked = asyncio.Event()
        self._hurried = asyncio.Event()
        self._changed = asyncio.Event()

    # -- what others ask

    @property
    def generation(self) -> int:
        """How many clients have become CONNECTED; a SUSPECT that answers again is the same client."""
        return self._generation

    @property
    def changes(self) -> int:
        """How often the state has changed."""
        return self._changes

    def client(self) -> Client:
        """The live client, not to be kept; raises TemporalUnavailable or Misconfigured, with state, since and cause."""
        if self._session is None or self._state not in HAS_CLIENT:
            self._raise_unavailable()
        return self._session.client

    def status(self) -> ConnectionStatus:
        """What is known now."""
        return ConnectionStatus(
            state=self._state,
            address=self.target.address,
            namespace=self.target.namespace,
            now=self._clock.now(),
            since=self._on_current_clock(self._since, self._since_s),
            cause=self._cause,
            attempt=self._attempt,
            next_try_at=self._on_current_clock(self._next_try_at, self._next_try_s) if self._next_try_at else None,
            reconnects=max(self._generation - 1, 0),
            cluster_id=self._cluster.cluster_id if self._cluster else None,
            namespace_id=self._cluster.namespace_id if self._cluster else None,
            cluster_changes=self._cluster_changes,
            retention_s=self._cluster.retention_s if self._cluster else None,
            history=self._journal.history(),
        )

    def _on_current_clock(self, at: datetime, at_s: float) -> datetime:
        """`at`, which was `at_s` of the monotonic clock, by the wall clock as it is set now."""
        now_called = self._clock.now() + timedelta(seconds=at_s - self._clock.monotonic())
        return at if abs(now_called - at) <= SKEW_MAX else now_called

    def report_failure(self, cause: str) -> None:
        """A call failed with a connection error: probe at once (and at most every `probe_gap_s`)."""
        self._journal.record_failed_call(cause)
        self._poked.set()

    def hurry(self) -> None:
        """The next probe or dial is due now: the machine slept, or its clock was set."""
        self._poked.set()
        self._hurried.set()

    async def wait_connected(self) -> None:
        """Return once the state is CONNECTED, at once if it is."""
        while self._state is not ConnectionState.CONNECTED:
            await self._changed.wait()

    async def wait_generation(self, after: int) -> int:
        """Return the generation once it is greater than `after` and CONNECTED."""
        while self._generation <= after or self._state is not ConnectionState.CONNECTED:
            await self._changed.wait()
        return self._generation

    async def wait_changed(self, after: int) -> int:
        """Return `changes` once it is greater than `after`; none is missed by a caller that was busy meanwhile."""
        while self._changes <= after:
            await self._changed.wait()
        return self._changes

    # -- the loop

    async def run(self) -> None:
        """Keep the connection until cancelled; ends in STOPPED."""
        try:
            while True:
                await self._dial_until_connected()
                await self._watch_until_lost()
        finally:
            self._session = None
            self._hang_up()
            self._next_try_at = None
            self._set_state(ConnectionState.STOPPED, "stopped")

    async def _dial_until_connected(self) -> None:
        self._attempt = 0
        has_opened = False
        while True:
            failure = await self._dial_once()
            if failure is None:
                return
            self._attempt += 1
            # A port that opens, and then refuses the dial, is not polled twice in a row.
            knocking = self.pace.knocking if failure.is_certain and not has_opened else None
            delay_s = self._redial_delay_s(failure, knocking)
            self._next_try_s = self._clock.monotonic() + delay_s
            self._next_try_at = self._clock.now() + timedelta(seconds=delay_s)
            self._set_state(failure.state, failure.cause)
            self._hurried.clear()
            if knocking is None:
                await self._wait_until_redial(delay_s)
                has_opened = False
            else:
                has_opened = await self._wait_until_open(within_s=delay_s)

    async def _wait_until_redial(self, delay_s: float) -> None:
        """Wait, but no longer than until one of the target's files changes, or somebody hurries."""
        ends = self._clock.monotonic() + delay_s
        is_due = self._hurried.is_set
        while self._stamp == self.target.stamp() and not is_due() and (left_s := ends - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left_s, FILES_EVERY_S))

    async def _wait_until_open(self, *, within_s: float) -> bool:
        """Whether somebody began to listen; returns as soon as that happens."""
        return await wait_at_most(within_s, self._dialer.wait_listening(self.target))

    async def _dial_once(self) -> Failure | None:
        self._stamp = self.target.stamp()
        try:
            async with asyncio.timeout(self.pace.dial_s):
                session = await self._dialer.dial(self.target, identity=self._identity)
                cluster = await session.probe()
            if self._admit is not None:
                await self._admit(cluster.name)
        except InUse:
            raise
        except Exception as error:  # noqa: BLE001 - the SDK raises RuntimeError, RPCError and more; each is a failed dial
            self._observer.record_dial(ok=False)
            return self._make_failure(error, self.pace.dial_s)
        self._observer.record_dial(ok=True)
        self._adopt(session, cluster)
        return None

    def _adopt(self, session: Session, cluster: ClusterIdentity) -> None:
        is_other_cluster = self._cluster is not None and cluster != self._cluster
        self._session, self._cluster = session, cluster
        self._attempt, self._next_try_at = 0, None
        self._generation += 1
        self._cluster_changes += is_other_cluster
        self._poked.clear()
        self._set_state(ConnectionState.CONNECTED, MEMORY_LOST if is_other_cluster else "")

    async def _watch_until_lost(self) -> None:
        while self._state in HAS_CLIENT:
            if self._state is ConnectionState.CONNECTED:
                await self._keep_line()
                await self._wait_until_probe_due()
            failure = await self._probe_once()
            if failure is None:
                self._set_state(ConnectionState.CONNECTED, "")
                await self._take_over_files()
            else:
                self._set_state(self._state_after_miss(failure), failure.cause)
        self._session = None
        self._hang_up()

    async def _keep_line(self) -> None:
        """Have an open line to Temporal, whose end makes a probe due: it tells at once that Temporal's process ended.

        What ends each line soon, as a proxy may, costs one more probe in the time between two, and no more.
        """
        is_open = self._line is not None and not self._line.is_closing()
        if is_open or not self.pace.is_line_kept or self._clock.monotonic() < self._line_due_s:
            return
        self._line_due_s = self._clock.monotonic() + self.pace.probe_every_s
        with suppress(OSError):  # the next probe says it better
            async with asyncio.timeout(self.pace.probe_s):
                self._line = await self._dialer.open_line(self.target, self._poked.set)

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    async def _take_over_files(self) -> None:
        """Dial with the target's files where they have changed: an old client keeps the old files for ever.

        The old client stays if that fails: files are replaced one after the other.
        """
        if self._stamp == self.target.stamp():
            return
        failure = await self._dial_once()
        self._journal.record_new_files(failure.cause if failure else "")

    async def _wait_until_probe_due(self) -> None:
        """Wait for the next probe's time, or for a failed call that asks for one."""
        gap_s = self.pace.probe_gap_s
        not_before = self._clock.monotonic() + gap_s
        due_s = max(gap_s, until_next_s(self.pace.probe_every_s, self._clock))
        if await wait_at_most(due_s, self._poked.wait()):
            await self._clock.sleep(max(0.0, not_before - self._clock.monotonic()))

    async def _probe_once(self) -> Failure | None:
        self._poked.clear()
        session = self._session
        assert session is not None, "a state with a client has one"  # noqa: S101 - the loop's own invariant
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(self.pace.probe_s):
                cluster = await session.probe()
        except Exception as error:  # noqa: BLE001 - as for a dial: whatever the SDK raises is a missed probe
            self._observer.record_probe(ok=False, latency_s=self._clock.monotonic() - begun)
            # An answer that asks for patience is an answer.
            return (
                None
                if isinstance(translate(error, self.target), Throttled)
                else self._make_failure(error, self.pace.probe_s)
            )
        self._observer.record_probe(ok=True, latency_s=self._clock.monotonic() - begun)
        if cluster != self._cluster:
            # The SDK's client healed by itself, onto another Temporal: let the next dial tell everybody.
            return Failure(cause=MEMORY_LOST, is_certain=True)
        return None

    def _state_after_miss(self, failure: Failure) -> ConnectionState:
        """The state after a missed probe: SUSPECT after the first silence or broken connection, lost if refused."""
        if failure.is_misconfigured or failure.is_certain or self._state is ConnectionState.SUSPECT:
            return failure.state
        return ConnectionState.SUSPECT

    # -- transitions

    def _set_state(self, to: ConnectionState, cause: str) -> None:
        """Enter state `to`; the only place that changes it. Without a change only `cause` is updated."""
        if self._state in HAS_CLIENT and to not in HAS_CLIENT:
            self._session = None
        before, self._cause = self._state, "" if to is ConnectionState.CONNECTED else cause
        if to is before:
            self._journal.write_left_out()
            return
        if to not in TRANSITIONS[before]:
            raise AssertionError(f"the connection cannot move from {before} to {to}")
        self._state, self._since, self._since_s = to, self._clock.now(), self._clock.monotonic()
        self._changes += 1
        change = Change(at=self._since, before=before, after=to, cause=cause)
        self._journal.record_change(change, attempt=self._attempt, next_try_at=self._next_try_at)
        self._observer.record_change(change)
        moved, self._changed = self._changed, asyncio.Event()
        moved.set()

    def _make_failure(self, error: Exception, deadline_s: float) -> Failure:
        cause = cause_of(error, self.target)
        return Failure(
            cause=f"{cause} (deadline {span(deadline_s)})" if isinstance(error, TimeoutError) else cause,
            is_misconfigured=isinstance(translate(error, self.target), Misconfigured),
            is_certain=cause == REFUSED,
        )

    def _redial_delay_s(self, failure: Failure, knocking: Backoff | None) -> float:
        if failure.is_misconfigured:
            return self.pace.misconfigured_every_s
        return (knocking or self.pace.redial).delay_s(self._attempt, self._rng)

    def _raise_unavailable(self) -> NoReturn:
        kind = Misconfigured if self._state is ConnectionState.MISCONFIGURED else TemporalUnavailable
        since = time_and_zone(self._on_current_clock(self._since, self._since_s))
        raise kind(
            f"Temporal at {self.target.address} is {self._state} since {since} ({self._cause or 'no cause known'})",
            hint="stigmer doctor",
        )
