"""When a workflow runs by itself: `schedule` of its document, and the times that follow from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import islice, takewhile
from typing import cast
from zoneinfo import ZoneInfo

from stigmer_cli.domain.event import EventQuery, write_scalar
from stigmer_cli.time_format import span
from stigmer_cli.workflow.duration import parse_duration
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.schema_check import Problem

EVERY_MIN_MS = 1_000
MISSED_MAX = 1_000
"""How many missed times are counted."""

LOOK_BACK_MINUTES = (1, 60, 1_440, 57_600, 5_760_000)
"""How far it looks back for the last time of a cron expression: as long as it takes until there is one."""

SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
LITERAL_ONLY = "schedule.on takes `one` or `any` with texts and data to compare, without expressions and correlations"


class Trigger(StrEnum):
    """What has a workflow run; the words are those of the DSL."""

    EVERY = "every"
    CRON = "cron"
    AFTER = "after"
    ON = "on"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One trigger of a workflow. `spec` is what the document says, in a form that can be kept.

    every, after: `{"ms": ...}`. cron: `{"cron": ..., "zone": ...}`. on: `{"on": ..., "read": ...}`.
    """

    trigger: Trigger
    spec: Mapping[str, Json]

    @property
    def text(self) -> str:
        """What a person reads: `cron 0 8 * * 1 (Europe/Berlin)`."""
        match self.trigger:
            case Trigger.EVERY | Trigger.AFTER:
                return f"{self.trigger} {span(self._ms / 1_000)}"
            case Trigger.CRON:
                return f"cron {self.spec['cron']} ({self.spec['zone']})"
            case Trigger.ON:
                return f"on {', '.join(query.type or 'any event' for query in self.list_queries())}"

    @property
    def _ms(self) -> int:
        return cast("int", self.spec["ms"])

    def find_next(self, after: datetime, *, anchor: datetime) -> datetime | None:
        """The first time behind `after`; `anchor` is when the schedule began. None: no time starts it."""
        return next(self._list_times(after, anchor=anchor), None)

    def list_due(self, first: datetime, now: datetime, *, anchor: datetime) -> Sequence[datetime]:
        """The times from `first`, which is one of them, to `now`: the first `MISSED_MAX`, and always the last."""
        later = takewhile(lambda at: at <= now, self._list_times(first, anchor=anchor))
        due = [first, *islice(later, MISSED_MAX)]
        if len(due) > MISSED_MAX:
            due[-1] = max(due[-1], self._find_last(now, anchor=anchor) or first)
        return due

    def _find_last(self, now: datetime, *, anchor: datetime) -> datetime | None:
        """The last time that is not behind `now`."""
        if self.trigger is Trigger.EVERY:
            step = timedelta(milliseconds=self._ms)
            return anchor + ((now - anchor) // step) * step
        cron, zone = str(self.spec["cron"]), str(self.spec["zone"])
        for minutes in LOOK_BACK_MINUTES:
            last = None
            for at in _list_cron(cron, zone, now - timedelta(minutes=minutes)):
                if at > now:
                    break
                last = at
            if last is not None:
                return last
        return None

    def explain_failure(self, now: datetime, *, anchor: datetime) -> str:
        """Why no time follows from it on this machine, as a sentence; empty where nothing is wrong."""
        try:
            if self.trigger is Trigger.AFTER:
                now + self.delay
            self.find_next(now, anchor=anchor)
            self.list_queries()
        except ModuleNotFoundError as error:
            return f"the Python package {error.name!r} is not installed"
        except Exception as error:  # noqa: BLE001 - whatever it is, the other schedules go on
            return str(error) or type(error).__name__
        return ""

    def _list_times(self, after: datetime, *, anchor: datetime) -> Iterator[datetime]:
        match self.trigger:
            case Trigger.EVERY:
                step = timedelta(milliseconds=self._ms)
                number = max(0, (after - anchor) // step)
                while True:
                    number += 1
                    yield anchor + number * step
            case Trigger.CRON:
                yield from _list_cron(str(self.spec["cron"]), str(self.spec["zone"]), after)
            case Trigger.AFTER | Trigger.ON:
                return

    def list_queries(self) -> Sequence[EventQuery]:
        """The events that start the workflow."""
        return _read_queries(cast("Mapping[str, Json]", self.spec["on"])) if self.trigger is Trigger.ON else ()

    @property
    def delay(self) -> timedelta:
        """How long after its last execution has ended the next one begins."""
        return timedelta(milliseconds=self._ms)


def read_schedules(document: Mapping[str, Json], *, now: datetime) -> Sequence[Schedule]:
    """The triggers of a document that fits the schema. Raises ValueError, with a sentence."""
    declared = cast("Mapping[str, Json]", document.get("schedule") or {})
    return [_read(trigger, declared, document, now) for trigger in Trigger if trigger in declared]


def find_schedule_problems(data: Mapping[str, Json]) -> Sequence[Problem]:
    """What of the schedule of a document that fits the schema can never be."""
    declared = cast("Mapping[str, Json]", data.get("schedule") or {})
    problems = []
    for trigger in Trigger:
        try:
            if trigger in declared:
                _read(trigger, declared, data, SOME_DAY)
        except ValueError as error:
            problems.append(Problem(path=("schedule", trigger), text=str(error)))
        except ModuleNotFoundError:  # an environment from before cronsim was a dependency: the server says it
            continue
    return problems


def _read(trigger: Trigger, declared: Mapping[str, Json], document: Mapping[str, Json], now: datetime) -> Schedule:
    value = declared[trigger]
    match trigger:
        case Trigger.EVERY | Trigger.AFTER:
            ms = parse_duration(value)
            if trigger is Trigger.EVERY and ms < EVERY_MIN_MS:
                raise ValueError(f"schedule.every is {ms} ms, and one second is the least")
            return Schedule(trigger=trigger, spec={"ms": ms})
        case Trigger.CRON:
            zone = _read_zone(document)
            if next(_list_cron(str(value), zone, now), None) is None:
                raise ValueError(f"schedule.cron: {value!r} is never due")
            return Schedule(trigger=trigger, spec={"cron": str(value), "zone": zone})
        case Trigger.ON:
            _read_queries(cast("Mapping[str, Json]", value))
            return Schedule(trigger=trigger, spec={"on": value, "read": declared.get("read", "data")})


def _read_zone(document: Mapping[str, Json]) -> str:
    about = cast("Mapping[str, Mapping[str, Json]]", document["document"])
    zone = str((about.get("metadata") or {}).get("timezone", "UTC"))
    _find_zone(zone)
    return zone


def _find_zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"document.metadata.timezone: there is no time zone {name!r} on this machine") from None


def _list_cron(expression: str, zone: str, after: datetime) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - for workflows with such a schedule only

    try:
        times = CronSim(expression, after.astimezone(_find_zone(zone)))
    except CronSimError as error:
        raise ValueError(f"schedule.cron: {expression!r} is no cron expression: {error}") from None
    for at in times:
        yield at.astimezone(UTC)


def _read_queries(strategy: Mapping[str, Json]) -> Sequence[EventQuery]:
    if "all" in strategy or "until" in strategy:
        raise ValueError(LITERAL_ONLY)
    filters = cast("Sequence[Mapping[str, Json]]", strategy["any"] if "any" in strategy else [strategy["one"]])
    return [_read_query(one) for one in filters] or [EventQuery()]


def _read_query(declared: Mapping[str, Json]) -> EventQuery:
    wanted = cast("Mapping[str, Json]", declared["with"])
    if "correlate" in declared:
        raise ValueError(LITERAL_ONLY)
    equals = sorted(_list_texts(wanted, ()))
    known = {name: text for (name, *rest), text in equals if not rest and name in ("type", "source", "subject")}
    return EventQuery(**known, equals=tuple((path, text) for path, text in equals if path[0] not in known))


def _list_texts(value: Json, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _list_texts(inner, (*path, name))
        return
    text = write_scalar(value)
    if text is None or "${" in text:
        raise ValueError(LITERAL_ONLY)
    yield path, text
