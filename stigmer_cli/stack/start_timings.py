"""Where the time of a start went: when each part was spawned, had imported its modules, listened, and was ready."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stigmer_cli.clock import Clock
from stigmer_cli.stack.parts import IMPORTED, SUPERVISOR
from stigmer_cli.stack.readiness import READY, parse_time
from stigmer_cli.stack.up import Progress, Ready
from stigmer_cli.supervisor.child import ChildState
from stigmer_cli.supervisor.record import SupervisorRecord

TAIL_MAX = 256 * 1024
"""Bytes at the end of a log that are searched for what the part said when it started."""

LISTENING = frozenset({"server_started", "worker_started"})
"""The events after which the server answers, and the runner takes work."""

NOT_LISTENING = ("does not listen", *(state for state in ChildState if state is not ChildState.RUNNING))
"""How the state of a part begins that does not listen; any other is about what it says."""


@dataclass(frozen=True, kw_only=True)
class PartTimings:
    """Seconds from the beginning of `up` until each step of a part; None for what it does not have, or did not say."""

    part: str
    spawned_s: float
    imported_s: float | None = None
    listening_s: float | None = None
    ready_s: float | None = None

    @property
    def steps(self) -> Sequence[float]:
        """How long each of the four steps took, in seconds; 0 for one that it does not have."""
        found, before = [], 0.0
        for at in (self.spawned_s, self.imported_s, self.listening_s, self.ready_s):
            until = before if at is None else max(before, at)
            found.append(until - before)
            before = until
        return found

    def to_json(self) -> Mapping[str, object]:
        """The JSON object."""
        return {
            "part": self.part,
            "spawnedS": _rounded(self.spawned_s),
            "importedS": _rounded(self.imported_s),
            "listeningS": _rounded(self.listening_s),
            "readyS": _rounded(self.ready_s),
        }


class StartTimings:
    """Notes when the parts change while a start is followed; tells them on to `progress`."""

    def __init__(self, progress: Progress, *, clock: Clock, began: datetime) -> None:
        self._progress, self._clock, self._began = progress, clock, began
        self._listening: dict[str, float] = {}
        self._ready: dict[str, float] = {}

    def part(self, name: str, state: str) -> None:
        """`name` is ready, or waits for what `state` says."""
        at_s = self._since_began(self._clock.now())
        if not state.startswith(NOT_LISTENING):
            self._listening.setdefault(name, at_s)
        if state == READY:
            self._ready.setdefault(name, at_s)
        self._progress.part(name, state)

    def collect(self, ready: Ready) -> Sequence[PartTimings]:
        """The steps of each part that this start began, the supervisor first; empty where it began none."""
        if not ready.started:
            return []
        supervisor = self._since_began(parse_time(ready.record.started_at))
        own = [] if supervisor < 0 else [PartTimings(part=SUPERVISOR, spawned_s=supervisor)]
        return [*own, *(self._of_part(ready.record, name, ready.logs) for name in ready.started)]

    def _of_part(self, record: SupervisorRecord, name: str, logs: Path) -> PartTimings:
        child = record.child(name)
        events = dict(_read_events(logs / f"{name}.log", self._began))
        imported = events.get(IMPORTED)
        said = [at for event, at in events.items() if event in LISTENING]
        return PartTimings(
            part=name,
            spawned_s=max(0.0, self._since_began(parse_time(child.started_at if child else None))),
            imported_s=self._since_began(imported) if imported else None,
            listening_s=self._since_began(min(said)) if said else self._listening.get(name),
            ready_s=self._ready.get(name),
        )

    def _since_began(self, moment: datetime) -> float:
        return (moment - self._began).total_seconds()


def _read_events(log: Path, began: datetime) -> Iterator[tuple[str, datetime]]:
    """The first of each of the events that are looked for, with its time; none from before `began`."""
    seen: set[str] = set()
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - TAIL_MAX))
        for line in file:
            with suppress(ValueError, AttributeError):
                found = json.loads(line)
                event, at = str(found.get("event")), parse_time(found.get("timestamp"))
                if event in {IMPORTED, *LISTENING} - seen and at >= began:
                    seen.add(event)
                    yield event, at


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
