"""The steps of a start: from the supervisor's record, from what was seen, and from what the parts logged."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from stigmer_cli.clock import iso
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.start_timings import PartTimings, StartTimings
from stigmer_cli.stack.up import Ready
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import ChildRecord, SupervisorRecord
from tests.support.fakes import ManualClock


class Board:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def part(self, name: str, state: str) -> None:
        self.told.append((name, state))


class Start:
    """A start that goes on by the second."""

    def __init__(self, logs: Path) -> None:
        self.clock, self.board, self.logs = ManualClock(), Board(), logs
        self.began = self.clock.now()
        self.timings = StartTimings(self.board, clock=self.clock, began=self.began)

    def at(self, seconds: float) -> str:
        return iso(self.began + timedelta(seconds=seconds))

    async def tell(self, name: str, state: str, *, after_s: float = 0.0) -> None:
        await self.clock.advance(after_s)
        self.timings.part(name, state)

    def log(self, part: str, events: Mapping[str, float]) -> None:
        lines = ["no JSON", "[1]", *(json.dumps({"event": e, "timestamp": self.at(s)}) for e, s in events.items())]
        (self.logs / f"{part}.log").write_text("\n".join(lines) + "\n")

    def ready(self, *started: str) -> Ready:
        children = tuple(
            ChildRecord(name=name, state="running", started_at=self.at(1.0)) for name in ("temporal", "server")
        )
        record = SupervisorRecord(id=ProcessId(pid=1, mark="m"), started_at=self.at(0.5), children=children)
        return Ready(
            endpoints=Endpoints(
                server_url="http://127.0.0.1:1",
                temporal_address="127.0.0.1:2",
                ui_url=None,
                namespace="default",
                ephemeral=False,
                started_at=self.at(0),
                server_port=1,
                temporal_port=2,
                ui_port=None,
            ),
            home=self.logs,
            logs=self.logs,
            record=record,
            started=started,
            took_s=5.0,
        )


async def test_the_steps_of_each_part_that_was_started(tmp_path: Path) -> None:
    start = Start(tmp_path)
    start.log("server", {"part_imported": 2.5, "server_started": 3.0, "worker_started": 3.5})
    await start.tell("temporal", "does not listen on port 2 yet")
    await start.tell("temporal", "unknown while the server does not answer", after_s=2.0)
    await start.tell("server", "ready", after_s=2.0)
    await start.tell("temporal", "ready", after_s=1.0)
    assert start.timings.collect(start.ready("temporal", "server")) == [
        PartTimings(part="supervisor", spawned_s=0.5),
        PartTimings(part="temporal", spawned_s=1.0, listening_s=2.0, ready_s=5.0),
        PartTimings(part="server", spawned_s=1.0, imported_s=2.5, listening_s=3.0, ready_s=4.0),
    ]
    assert len(start.board.told) == 4, "everything is shown as well"


async def test_what_an_earlier_process_logged_does_not_count(tmp_path: Path) -> None:
    start = Start(tmp_path)
    start.log("server", {"part_imported": -9.0, "server_started": -8.0})
    await start.tell("server", "ready", after_s=4.0)
    assert start.timings.collect(start.ready("server"))[1] == PartTimings(
        part="server", spawned_s=1.0, listening_s=4.0, ready_s=4.0
    )


async def test_a_start_that_began_nothing_has_no_steps(tmp_path: Path) -> None:
    assert Start(tmp_path).timings.collect(Start(tmp_path).ready()) == []


def test_a_step_that_a_part_does_not_have_takes_no_time() -> None:
    part = PartTimings(part="temporal", spawned_s=0.25, listening_s=0.5, ready_s=0.75)
    assert part.steps == [0.25, 0.0, 0.25, 0.25]
    assert part.to_json() == {
        "part": "temporal", "spawnedS": 0.25, "importedS": None, "listeningS": 0.5, "readyS": 0.75
    }  # fmt: skip
