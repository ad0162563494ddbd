"""The task listen: takes events, in the order in which they came in.

Each event that it takes is a step, so that a replay takes the same ones, whatever has come in since. What it has looked
at without taking it is noted now and then, so that a task which has listened for long does not begin at the start.

    next event ──fits until──▶ the last one of until: done
        │ fits `to`
        ▼
    recorded ─▶ foreach: do, output, export ─▶ enough? ──no──▶ next event
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from stigmer_cli.domain.event import read_event
from stigmer_cli.json_text import dump_json
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.flow import END
from stigmer_cli.workflow.interpreter.event_filter import EventFilter, make_filter
from stigmer_cli.workflow.interpreter.iteration import Iteration
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit, shorten_key
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Listening, NothingYet

TAKEN_MAX = 10_000
OUTPUT_BYTES_MAX = 8 * 1024 * 1024
NOTED_EVERY = 100
"""After how many events that do not fit this is noted."""


async def perform_listen(run: Run, visit: Visit) -> Flow:
    """Its output is the list of the events that it took, as `read` says, or what `foreach` made of each."""
    listener = await _make_listener(run, visit)
    iteration = Iteration(run, visit, visit.task.data.get("foreach"), (*visit.task.path, "foreach"))
    condition = _find_condition(visit)
    output: list[Json] = []
    length = 0
    while not listener.is_done:
        if len(output) >= TAKEN_MAX:
            raise make_error(ErrorType.RUNTIME, f"it has taken {TAKEN_MAX:,} events, and no task may take more")
        event = await listener.take()
        if event is None:
            continue
        flow = await iteration.run(len(output), _read(event, visit))
        output.append(flow.output)
        length += len(dump_json(flow.output))
        if length > OUTPUT_BYTES_MAX:
            raise make_error(ErrorType.RUNTIME, f"its output is longer than {OUTPUT_BYTES_MAX:,} bytes as JSON")
        if flow.directive == END:
            return Flow(output=output, directive=END)
        if condition is not None and await run.is_true(condition, output, visit.scope):
            break
    return Flow(output=output)


def _find_condition(visit: Visit) -> str | None:
    """The condition on the events taken so far that ends listening, if it has one."""
    until = _strategy_of(visit).get("until")
    return until if isinstance(until, str) else None


def _strategy_of(visit: Visit) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", cast("Mapping[str, Json]", visit.task.body)["to"])


def _read(event: Mapping[str, Json], visit: Visit) -> Json:
    """The event as the task reads it."""
    form = cast("Mapping[str, Json]", visit.task.body).get("read", "data")
    return cast("Json", read_event(event, str(form)))


@dataclass(kw_only=True)
class _Strategy:
    """What of `one`, `any` or `all` is still to come. `goes_on`: it ends by `until` only."""

    filters: Sequence[EventFilter]
    is_all: bool
    goes_on: bool = False
    left: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = set(range(len(self.filters)))

    @property
    def is_done(self) -> bool:
        return not self.left

    def take(self, number: int) -> None:
        """The filter with this number was met."""
        if self.goes_on:
            return
        self.left = self.left - {number} if self.is_all else set()


async def _make_strategy(run: Run, visit: Visit, declared: Mapping[str, Json]) -> _Strategy:
    word = next(word for word in ("all", "any", "one") if word in declared)
    listed = cast("Sequence[Json]", declared[word] if word != "one" else [declared[word]])
    filters = [await make_filter(run, visit, one) for one in listed]
    if word == "any" and not filters:  # it listens to all events
        filters = [EventFilter(attributes={}, condition=None, data=None, has_data=False, correlations=())]
    return _Strategy(filters=filters, is_all=word == "all", goes_on=word == "any" and "until" in declared)


async def _make_listener(run: Run, visit: Visit) -> "_Listener":
    declared = _strategy_of(visit)
    until = declared.get("until")
    ends = await _make_strategy(run, visit, until) if isinstance(until, dict) else None
    listener = _Listener(run, visit, await _make_strategy(run, visit, declared), ends)
    await listener.find_position()
    return listener


class _Listener:
    """Takes events for one performance of the task."""

    def __init__(self, run: Run, visit: Visit, wanted: _Strategy, ends: _Strategy | None) -> None:
        self._run, self._visit = run, visit
        self._wanted, self._ends = wanted, ends
        self._correlated: Mapping[str, str] = {}
        self._number = 0
        self._after: int | None = None
        self._positions = 0
        self._passed = 0
        about = cast("Mapping[str, Json]", visit.task.data.get("metadata") or {})
        self._look_back_ms = run.parse_duration(about["lookBack"]) if "lookBack" in about else 0

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to be taken."""
        return self._wanted.is_done or (self._ends is not None and self._ends.is_done)

    async def find_position(self) -> None:
        """Go to where an earlier attempt has looked up to."""
        while (found := await self._run.world.journal.find(self._key("position", self._positions))) is not None:
            self._after = cast("int", found)
            self._positions += 1

    async def take(self) -> Mapping[str, Json] | None:
        """The next event; None for one that only counts for `until`. Raises Waits while there is none."""
        key = self._key("events", self._number)
        while True:
            given = self._visit.task.body if self._number == 0 else None
            try:
                step = await self._run.perform(key, f"event for {self._visit.task.name}", given, self._look)
            except NothingYet:
                await self._note_position()
                await self._run.wait_for_events(self._listening())
                continue
            return self._count(cast("Mapping[str, Json]", step))

    def _count(self, taken: Mapping[str, Json]) -> Mapping[str, Json] | None:
        seq = cast("int", taken["seq"])
        self._visit.scope.context.taken.add(seq)
        self._after = max(seq, self._after or 0)
        self._correlated = cast("Mapping[str, str]", taken["correlated"])
        self._number += 1
        self._passed = 0
        is_end = taken["until"] is True and self._ends is not None
        strategy = self._ends if is_end and self._ends else self._wanted
        strategy.take(cast("int", taken["filter"]))
        return None if is_end else cast("Mapping[str, Json]", taken["event"])

    async def _look(self) -> Json:
        """What is recorded of the next event that fits. Raises NothingYet."""
        while True:
            page = await self._run.world.read_events(self._listening())
            for seq, event in page.events:
                if seq not in self._visit.scope.context.taken and (fit := await self._find_fit(event)) is not None:
                    return {"seq": seq, "event": event, **fit}
                self._passed += 1
            self._after = page.upto
            if page.is_last:
                raise NothingYet

    async def _find_fit(self, event: Mapping[str, Json]) -> dict[str, Json] | None:
        """Which filter `event` fits: those of `until` come first."""
        for strategy in (self._ends, self._wanted):
            for number in sorted(strategy.left) if strategy else ():
                one = strategy.filters[number] if strategy else None
                fit = await one.find_fit(self._run, self._visit.scope, event, self._correlated) if one else None
                if fit is not None:
                    return {"filter": number, "until": strategy is self._ends, "correlated": fit}
        return None

    async def _note_position(self) -> None:
        if self._passed < NOTED_EVERY:
            return
        position = self._after

        async def tell() -> Json:
            return position

        await self._run.perform(self._key("position", self._positions), "events looked at", None, tell)
        self._positions += 1
        self._passed = 0

    def _listening(self) -> Listening:
        strategies = [strategy for strategy in (self._ends, self._wanted) if strategy is not None]
        return Listening(
            key=shorten_key(self._visit.key),
            queries=tuple(
                strategy.filters[number].make_query(self._correlated)
                for strategy in strategies
                for number in sorted(strategy.left)
            ),
            after=self._after,
            look_back_ms=self._look_back_ms,
        )

    def _key(self, word: str, number: int) -> str:
        return shorten_key(f"{self._visit.key}/{word}/{number}")
