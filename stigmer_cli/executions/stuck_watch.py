"""Looks at open executions and judges which are stuck: those that a client asks about, and all of them in turn."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import GRACE_S, StuckClass
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.moved import find_moved
from stigmer_cli.executions.pollers import Polling
from stigmer_cli.executions.reason import explain_wait, find_hold
from stigmer_cli.executions.reconcile.observe import observe
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.judgement.limited import find_limitable, judge_limited
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.plan import Rules, plan
from stigmer_cli.judgement.stuck import Stuck, StuckContext, Untaken, find_untaken, is_young, judge
from stigmer_cli.store.due_rows import Aged
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.store import Store

EVERY_S = 5.0
PASS_MAX = 100
"""Twenty a second at most: about a fiftieth of what Temporal can describe."""

LOOK_MAX = 500
OVERVIEW_S = 0.4
OVERVIEW_PAGE = 200
"""Temporal describes two thousand in a second: after each page there is time to see that time is up."""

NEWEST_MAX = 100
OPEN = frozenset(phase for phase in Phase if not phase.is_terminal)

UNTAKEN_MAX = 10_000
TOLD_MAX = 10_000

LOUD = frozenset({StuckClass.CANNOT_REPLAY, StuckClass.KEEPS_FAILING})
"""Classes that need a person, and that no other log line reports."""

Key = tuple[ExecutionId, int]
log = structlog.get_logger()


class StuckObserver(Protocol):
    """Who counts what is stuck."""

    def record_stuck(self, counts: Mapping[StuckClass, int]) -> None:
        """All that is open has been looked at once more."""


class UntakenTimes:
    """How long the task of an open workflow has waited for a runner, counted from the first look that saw it.

    Monotonic seconds; what has not been seen for longest is forgotten first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[Key, tuple[Untaken, float]] = {}

    def untaken_s(self, observation: Observation) -> float:
        """For how long; 0 for what is taken, or is seen for the first time."""
        key = (observation.execution.id, observation.execution.epoch)
        waits = find_untaken(observation.seen)
        known = self._since.pop(key, None)
        if waits is None:
            return 0.0
        now = self._clock.monotonic()
        since = known[1] if known is not None and known[0] == waits else now
        self._since[key] = (waits, since)
        while len(self._since) > UNTAKEN_MAX:
            del self._since[next(iter(self._since))]
        return now - since


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The stuck executions among those that there was time to look at; `is_whole` if those were all open ones.

    `is_judged` is False if Temporal could not be asked.
    """

    stuck: Sequence[Stuck] = ()
    is_whole: bool = True
    is_judged: bool = True


class StuckWatch:
    """Judges single executions on request, and all open ones in rounds for the metrics and the log."""

    def __init__(
        self,
        store: Store,
        gateway: TemporalGateway,
        link: TemporalLink,
        *,
        polling: Callable[[], Polling],
        clock: Clock,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._link = link
        self._polling = polling
        self._clock = clock
        self._untaken_times = UntakenTimes(clock)
        self._after: ExecutionId | None = None
        self._counts: Counter[StuckClass] = Counter()
        self._loud: list[ExecutionId] = []
        self._known: Sequence[ExecutionId] = ()
        self._told: dict[tuple[ExecutionId, int, StuckClass], None] = {}
        self.observer: StuckObserver | None = None
        self.is_submitting: Callable[[], bool] = lambda: False
        """Whether what is queued is on its way to Temporal."""

    async def run(self) -> None:
        """Judge all open executions in rounds for ever; raises what the store raises.

        If none is open, and only this process writes, the next round begins after one more write was made.
        """
        while True:
            writes = self._store.writes
            await self.run_once()
            is_idle = writes is not None and not await self._is_any_open()
            await self._clock.sleep(EVERY_S)
            while is_idle and writes == self._store.writes:
                await self._clock.sleep(EVERY_S)

    async def run_once(self) -> None:
        """Look at the next `PASS_MAX`; at the end of a round, tell how many of each class there are."""
        page = await self._read_page(self._after, PASS_MAX)
        found = await self.judge(page)
        self._counts.update(one.kind for one in found)
        self._loud.extend(one.execution.id for one in found if one.kind in LOUD)
        self._log_once(one for one in found if one.kind in LOUD)
        if len(page) == PASS_MAX:
            self._after = page[-1].id
            return
        if self.observer:
            self.observer.record_stuck(self._counts)
        self._known = self._loud[:LOOK_MAX]
        self._after, self._counts, self._loud = None, Counter(), []

    async def overview(self) -> Overview:
        """The stuck executions, judged now: from the oldest on until `OVERVIEW_S` are over.

        If that is not everything, the newest `NEWEST_MAX` and the `LOUD` ones of the last round are looked at first.
        """
        ends = self._clock.monotonic() + OVERVIEW_S
        is_judged = find_hold(self._link.status()) is None
        page = await self._read_page(None, OVERVIEW_PAGE)
        looked = {row.id: row for row in page}
        if len(page) == OVERVIEW_PAGE:
            newest = await self._store.executions.list(self._make_filter(), limit=NEWEST_MAX, cursor=None)
            looked |= {row.id: row for row in newest.items}
            loud = [id_ for id_ in self._known if id_ not in looked]
            looked |= {row.id: row for row in (await self._store.executions.read_by_ids(loud) if loud else ())}
        stuck = list(await self._judge_by_page(list(looked.values())))
        while len(page) == OVERVIEW_PAGE and self._clock.monotonic() < ends:
            page = await self._read_page(page[-1].id, OVERVIEW_PAGE)
            others = [row for row in page if row.id not in looked]
            looked |= {row.id: row for row in others}
            stuck.extend(await self.judge(others))
        is_judged = is_judged and find_hold(self._link.status()) is None
        return Overview(stuck=stuck, is_whole=len(page) < OVERVIEW_PAGE, is_judged=is_judged)

    async def stuck_of(self, row: Execution) -> Stuck | None:
        """Why `row` is stuck; None if it is not, has ended, or is too young to be."""
        return next(iter(await self.judge_old([row])), None)

    async def page(self, wanted: Filter, *, limit: int, cursor: str | None) -> tuple[Sequence[Stuck], str | None]:
        """The stuck ones of a page of `limit` executions, newest first, and where the next page begins.

        Raises what listing raises.
        """
        phases = (wanted.phases or OPEN) & OPEN
        if not phases:
            return (), None
        page = await self._store.executions.list(replace(wanted, phases=phases), limit=limit, cursor=cursor)
        return await self.judge_old(page.items), page.next_cursor

    async def judge_old(self, rows: Sequence[Execution]) -> Sequence[Stuck]:
        """Those of `rows` that are old enough to be stuck, and are."""
        now = self._clock.now()
        return await self.judge([row for row in rows if not is_young(row, now)])

    async def judge(self, rows: Sequence[Execution]) -> Sequence[Stuck]:
        """The stuck ones of `rows`, at most `LOOK_MAX`, in order; those that have ended are passed over."""
        status, polling = self._link.status(), self._polling()
        rows = [explain_wait(row, status, polling) for row in rows if not row.phase.is_terminal]
        held = find_hold(status)
        if held is None:
            observations = await observe(rows, self._gateway, self._link, self._store.progress)
        else:
            observations = [Observation(execution=row, unknown=held.detail) for row in rows]
        now = self._clock.now()
        moves = plan(observations, now=now, rules=Rules())
        context = StuckContext(
            now=now,
            is_polled=not polling.is_empty,
            untaken_s=0.0,
            full=polling.full,
            is_submitting=self.is_submitting(),
            away_since=held.since if held else None,
            connected_since=None if held else status.since,
        )
        behind = await self._find_behind(rows, now)
        judged = []
        for observation, move in zip(observations, moves, strict=True):
            untaken_s = self._untaken_times.untaken_s(observation)
            is_behind = observation.execution.id in behind
            judged.append(judge(observation, move, replace(context, untaken_s=untaken_s, is_behind=is_behind)))
        found = await self._explain_late([one for one in judged if one is not None], observations)
        if held is not None:
            return found
        moved = await find_moved([one.execution for one in found if one.execution.dispatch.is_submitted], self._store)
        return [one for one in found if one.execution.id not in moved]

    async def _explain_late(self, found: Sequence[Stuck], observations: Sequence[Observation]) -> Sequence[Stuck]:
        """`found`, where what starts late for a limit of the task queue says so; Temporal is asked only if any may."""
        late = find_limitable(found, observations)
        try:
            limit = await self._gateway.queue_limit() if late else None
        except StigmerError:
            return found  # the connection has been told
        return [judge_limited(one, limit) if limit and one.execution.id in late else one for one in found]

    async def _find_behind(self, rows: Sequence[Execution], now: datetime) -> set[ExecutionId]:
        """Those of `rows` that wait for their turn in a session, or have had it for so short that nothing is wrong."""
        waiting = [
            row.id
            for row in rows
            if row.session is not None and row.phase is Phase.PENDING and not row.dispatch.is_submitted
        ]
        since = now - timedelta(seconds=GRACE_S)
        return await self._store.sessions.find_behind(waiting, since=since) if waiting else set()

    async def _judge_by_page(self, rows: Sequence[Execution]) -> Sequence[Stuck]:
        return [one for first in range(0, len(rows), LOOK_MAX) for one in await self.judge(rows[first:][:LOOK_MAX])]

    def _make_filter(self) -> Filter:
        return Filter(phases=OPEN, aged=Aged.by(self._clock.now(), s=GRACE_S))

    async def _is_any_open(self) -> bool:
        """Whether one is, however young: it may be stuck later, without another write."""
        return bool((await self._store.executions.list(Filter(phases=OPEN), limit=1, cursor=None)).items)

    async def _read_page(self, after: ExecutionId | None, limit: int) -> Sequence[Execution]:
        aged = Aged.by(self._clock.now(), s=GRACE_S)
        return await self._store.executions.open_after(aged=aged, after=after, limit=limit)

    def _log_once(self, found: Iterable[Stuck]) -> None:
        """Log each execution once for each class that it is in."""
        for one in found:
            execution = one.execution
            key = (execution.id, execution.epoch, one.kind)
            if key not in self._told:
                self._told[key] = None
                log.warning(
                    "execution_stuck",
                    execution=execution.id,
                    epoch=execution.epoch,
                    phase=execution.phase,
                    **{"class": one.kind},
                    cause=one.cause,
                    hint=one.hint,
                )
        while len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
