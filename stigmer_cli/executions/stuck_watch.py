"""Looks at open executions and judges which do not get on: those that are asked about, and all of them in turn."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.executions.pollers import Polling
from stigmer_cli.executions.reason import explained, waiting
from stigmer_cli.executions.reconcile.observe import Observation, observe
from stigmer_cli.executions.reconcile.plan import Rules, plan
from stigmer_cli.executions.stuck import Stuck, StuckContext, Untaken, judge, untaken
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.store.ages import Aged
from stigmer_cli.store.store import Store

YOUNG_S = 5.0
"""Younger than this, an execution is on its way and not stuck."""

EVERY_S = 5.0
PASS_MAX = 100
"""Twenty a second at most: about a fiftieth of what Temporal can describe."""

LOOK_MAX = 500
OLDEST_MAX = 200
"""Looked up in about a tenth of a second: whoever asks for an overview has the plan of a reconcile made beside it."""

UNTAKEN_MAX = 10_000
TOLD_MAX = 10_000
IDS_MAX = 20

LOUD = frozenset({StuckClass.CANNOT_REPLAY, StuckClass.KEEPS_FAILING})
"""Classes that do not pass by themselves, and that no other line of the log tells of."""

Key = tuple[ExecutionId, int]
log = structlog.get_logger()


class StuckObserver(Protocol):
    """Who counts what is stuck."""

    def see_stuck(self, counts: Mapping[StuckClass, int]) -> None:
        """All that is open has been looked at once more."""


class UntakenTimes:
    """For how long what an open workflow waits for has not been taken, counted from when somebody first saw it so.

    Monotonic seconds; what has not been seen for longest is forgotten first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[Key, tuple[Untaken, float]] = {}

    def untaken_s(self, observation: Observation) -> float:
        """For how long; 0 for what is taken, or is seen for the first time."""
        key = (observation.execution.id, observation.execution.epoch)
        waits = untaken(observation.seen)
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
    """Those of one page that do not get on, and whether the page held everything that is open."""

    stuck: Sequence[Stuck] = ()
    is_whole: bool = True


class StuckWatch:
    """Judges what it is asked about, and goes round all open executions for the metrics and the log."""

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

    async def run(self) -> None:
        """Go round for ever; raises what the store raises."""
        while True:
            await self.run_once()
            await self._clock.sleep(EVERY_S)

    async def run_once(self) -> None:
        """Look at the next `PASS_MAX`; at the end of a round, tell how many of each class there are."""
        page = await self._page(self._after, PASS_MAX)
        found = await self.judge(page)
        self._counts.update(one.kind for one in found)
        self._loud.extend(one.execution.id for one in found if one.kind in LOUD)
        self._tell(one for one in found if one.kind in LOUD)
        if len(page) == PASS_MAX:
            self._after = page[-1].id
            return
        if self.observer:
            self.observer.see_stuck(self._counts)
        self._known = self._loud[:LOOK_MAX]
        self._after, self._counts, self._loud = None, Counter(), []

    async def named(self, ids: Sequence[ExecutionId]) -> Sequence[Stuck]:
        """Those of `ids`, at most `LOOK_MAX`, that do not get on, in order; raises NotFound for one without a row."""
        return await self.judge(await self._store.executions.named(ids))

    async def overview(self) -> Overview:
        """What of the oldest `OLDEST_MAX` does not get on, and what the last round found loud; all judged now."""
        page = await self._page(None, OLDEST_MAX)
        seen = {row.id for row in page}
        others = [id_ for id_ in self._known if id_ not in seen]
        rows = [*page, *(await self._store.executions.named(others) if others else ())]
        stuck = [one for first in range(0, len(rows), LOOK_MAX) for one in await self.judge(rows[first:][:LOOK_MAX])]
        return Overview(stuck=stuck, is_whole=len(page) < OLDEST_MAX)

    async def judge(self, rows: Sequence[Execution]) -> Sequence[Stuck]:
        """Those of `rows` that do not get on, in order; what has ended is passed over."""
        status, polling = self._link.status(), self._polling()
        rows = [row for row in rows if not row.phase.is_terminal]
        held = waiting(status)
        if held is None:
            observations = await observe(rows, self._gateway, self._link)
        else:
            observations = [Observation(execution=row, unknown=held.detail) for row in rows]
        moves = plan(observations, now=self._clock.now(), rules=Rules())
        judged = [
            judge(
                observation,
                move,
                StuckContext(
                    is_polled=polling.checked_at is not None and not polling.is_empty,
                    untaken_s=self._untaken_times.untaken_s(observation),
                    waits_for=explained(observation.execution, status).dispatch.detail,
                    is_away=held is not None,
                ),
            )
            for observation, move in zip(observations, moves, strict=True)
        ]
        return [one for one in judged if one is not None]

    async def _page(self, after: ExecutionId | None, limit: int) -> Sequence[Execution]:
        aged = Aged.by(self._clock.now(), s=YOUNG_S)
        return await self._store.executions.open_after(aged=aged, after=after, limit=limit)

    def _tell(self, found: Iterable[Stuck]) -> None:
        """Write each once, while it is of that class."""
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
                    hint=one.way_out,
                )
        while len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
