"""What is missing until a stack is proven ready, and what `status` makes of it."""

import os
from dataclasses import replace

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.readiness import find_unready_parts, select_changes
from stigmer_cli.stack.server_probe import RunnerPoller, ServerObservation
from stigmer_cli.stack.status import PartState, StackState, SupervisorObservation, judge_stack
from stigmer_cli.supervisor.process import ProcessId, start_mark
from stigmer_cli.supervisor.record import ChildRecord, ExitRecord, SupervisorRecord

BORN = "2026-05-04T12:00:00.000Z"
ENDPOINTS = Endpoints(
    server_url="http://127.0.0.1:7234",
    temporal_address="127.0.0.1:7233",
    ui_url="http://127.0.0.1:8233",
    namespace="default",
    ephemeral=False,
    started_at=BORN,
    server_port=7234,
    temporal_port=7233,
    ui_port=8233,
)
EXTERNAL = replace(ENDPOINTS, temporal_address="far:7233", temporal_port=None, ui_port=None, ui_url=None)
GHOST = 2**22 - 7
"""No process has this pid: it is the last but a few that Linux would ever give."""


def running(name: str, pid: int) -> ChildRecord:
    return ChildRecord(name=name, state="running", id=ProcessId(pid=pid, mark="boot:1"), started_at=BORN, uptime_s=5.0)


TEMPORAL, SERVER, RUNNER = running("temporal", GHOST), running("server", 12), running("runner", 13)
RECORD = SupervisorRecord(
    id=ProcessId(pid=10, mark="boot:0"), started_at=BORN, uptime_s=6.0, children=(TEMPORAL, SERVER, RUNNER)
)
TAG = ProcessId(pid=13, mark="boot:1").tag
POLLER = RunnerPoller(identity=f"stigmer-runner/13@box/1-{TAG}/0.1")
SEEN = ServerObservation(pid=12, state="ready", temporal_state="CONNECTED", pollers=(POLLER,))


def with_child(child: ChildRecord) -> SupervisorRecord:
    return replace(RECORD, children=tuple(child if one.name == child.name else one for one in RECORD.children))


def test_nothing_is_missing_when_all_is_proven() -> None:
    assert find_unready_parts(RECORD, SEEN, {}) == {}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (
            ServerObservation(why="connection refused"),
            {
                "server": "connection refused",
                "temporal": "unknown while the server does not answer",
                "runner": "unknown while the server does not answer",
            },
        ),
        (replace(SEEN, why="store locked"), {"server": "store locked"}),
        (replace(SEEN, pid=99), {"server": "its port is answered by another process (pid 99)"}),
        (
            replace(SEEN, temporal_state="DISCONNECTED", temporal_cause="connection refused"),
            {"temporal": "the server is disconnected (connection refused)"},
        ),
        (replace(SEEN, temporal_state="SUSPECT"), {"temporal": "the server is suspect"}),
        (replace(SEEN, pollers=()), {"runner": "has not asked Temporal for work yet"}),
        (
            replace(SEEN, pollers=(replace(POLLER, identity=f"stigmer-runner/14@box/1-{TAG}/0.1"),)),
            {"runner": "has not asked Temporal for work yet"},
        ),
        (
            replace(SEEN, pollers=(replace(POLLER, identity="somebody-else/13@box"),)),
            {"runner": "has not asked Temporal for work yet"},
        ),
        (
            replace(SEEN, pollers=(replace(POLLER, silent_s=80),)),
            {"runner": "has not asked Temporal for work yet"},
        ),
    ],
)
def test_each_thing_that_is_not_proven_is_named(seen: ServerObservation, expected: dict[str, str]) -> None:
    assert find_unready_parts(RECORD, seen, {}) == expected


def test_a_worker_of_a_process_that_had_the_same_pid_proves_nothing() -> None:
    of_before = ProcessId(pid=13, mark="boot:0").tag
    seen = replace(SEEN, pollers=(replace(POLLER, identity=f"stigmer-runner/13@box/1-{of_before}/0.1"),))
    assert find_unready_parts(RECORD, seen, {}) == {"runner": "has not asked Temporal for work yet"}


@pytest.mark.parametrize("state", ["starting", "backing-off", "failed", "stopping", "stopped"])
def test_a_child_that_does_not_run_is_missing_whatever_the_server_says(state: str) -> None:
    record = with_child(replace(TEMPORAL, state=state, id=None))

    assert find_unready_parts(record, SEEN, {}) == {"temporal": state}


def test_a_part_whose_port_is_held_by_somebody_else_is_missing() -> None:
    assert find_unready_parts(RECORD, SEEN, {"temporal": 7233}) == {"temporal": "does not listen on port 7233 yet"}


def test_a_part_that_stands_still_is_missing_whatever_the_server_still_believes_of_it() -> None:
    still = {"runner": "frozen by a signal (SIGSTOP)"}
    assert find_unready_parts(RECORD, SEEN, {}, still) == still
    observed = SupervisorObservation(record=RECORD, is_answering=True, is_there=True, still=still)
    assert verdict(observed, SEEN)[0] is StackState.DEGRADED
    assert verdict(observed, SEEN)[1]["runner"] is PartState.NOT_READY


def test_a_remote_temporal_that_was_reported_missing_is_reported_ready() -> None:
    assert select_changes(RECORD, {}, {"temporal": "not reached", "server": "ready", "runner": "starting"}) == {
        "runner": "ready",
        "temporal": "ready",
    }
    alone = with_child(RECORD.children[0])
    assert select_changes(alone, {"elsewhere": "not reached"}, {})["elsewhere"] == "not reached"
    assert select_changes(alone, {}, {"elsewhere": "not reached"})["elsewhere"] == "ready"


def verdict(
    observed: SupervisorObservation, seen: ServerObservation, endpoints: Endpoints = ENDPOINTS
) -> tuple[StackState, dict[str, PartState]]:
    found = judge_stack(observed, seen, endpoints, home="/home", clock=SystemClock())
    return found.state, {part.name: part.state for part in found.parts}


def test_a_proven_stack_is_ready() -> None:
    observed = SupervisorObservation(record=RECORD, is_answering=True, is_there=True)

    assert verdict(observed, SEEN) == (
        StackState.READY,
        {
            "supervisor": PartState.RUNNING,
            "temporal": PartState.RUNNING,
            "server": PartState.RUNNING,
            "runner": PartState.RUNNING,
        },
    )


@pytest.mark.parametrize(
    "seen",
    [
        ServerObservation(why="not answering within 0.4s"),
        replace(SEEN, state="degraded"),
        replace(SEEN, temporal_state="SUSPECT"),
        replace(SEEN, pollers=()),
        replace(SEEN, why="not ready yet"),
        replace(SEEN, pid=1),
    ],
)
def test_status_is_never_better_than_what_the_server_says(seen: ServerObservation) -> None:
    observed = SupervisorObservation(record=RECORD, is_answering=True, is_there=True)

    assert verdict(observed, seen)[0] is StackState.DEGRADED


def test_a_silent_supervisor_is_never_ready() -> None:
    observed = SupervisorObservation(record=RECORD, is_answering=False, is_there=True)

    state, parts = verdict(observed, SEEN)

    assert state is StackState.DEGRADED
    assert parts["supervisor"] is PartState.NOT_READY


def test_what_a_dead_supervisor_wrote_down_is_not_believed() -> None:
    observed = SupervisorObservation(record=RECORD, is_answering=False, is_there=False)

    assert verdict(observed, SEEN)[0] is StackState.STOPPED


def test_a_foreign_temporal_is_shown_as_such() -> None:
    observed = SupervisorObservation(
        record=replace(RECORD, children=(SERVER, RUNNER)), is_answering=True, is_there=True
    )

    state, parts = verdict(observed, SEEN, EXTERNAL)

    assert state is StackState.READY
    assert parts["temporal"] is PartState.EXTERNAL


def test_a_server_that_is_busy_is_well_and_the_stack_says_so() -> None:
    observed = SupervisorObservation(record=RECORD, is_answering=True, is_there=True)
    found = judge_stack(
        observed, replace(SEEN, state="busy", reasons=("much",)), ENDPOINTS, home="/home", clock=SystemClock()
    )
    assert (found.state, found.exit_code, found.reasons) == (StackState.BUSY, 0, ("much",))


def test_a_part_that_is_tried_again_says_why_and_when() -> None:
    end = ExitRecord(code=1, at=BORN, why="ended by itself with exit code 1")
    child = replace(
        RUNNER, state="backing-off", id=None, restarts=2, last_exit=end, next_try_at="2026-05-04T12:00:09.000Z"
    )
    observed = SupervisorObservation(record=with_child(child), is_answering=True, is_there=True)

    found = judge_stack(observed, SEEN, ENDPOINTS, home="/home", clock=SystemClock())

    assert found.state is StackState.DEGRADED
    assert found.exit_code == 1
    assert found.parts[3].to_json() == {
        "name": "runner",
        "state": "restarting",
        "detail": "ended by itself with exit code 1",
        "pid": None,
        "startedAt": BORN,
        "uptimeS": 5.0,
        "restarts": 2,
        "lastExit": {"code": 1, "at": BORN, "why": "ended by itself with exit code 1"},
        "nextTryAt": "2026-05-04T12:00:09.000Z",
        "ports": [],
        "log": "",
    }


def test_nothing_at_all_is_stopped_and_exits_with_3() -> None:
    found = judge_stack(
        SupervisorObservation(record=None, is_answering=False, is_there=False),
        ServerObservation(why="connection refused"),
        ENDPOINTS,
        home="/home",
        clock=SystemClock(),
    )

    assert (found.state, found.exit_code) == (StackState.STOPPED, 3)
    assert [part.state for part in found.parts] == [PartState.STOPPED] * 4


def test_what_the_kernel_has_not_ended_has_no_age_since_1970() -> None:
    me = ProcessId(pid=os.getpid(), mark=start_mark(os.getpid()) or "")
    exit_ = ExitRecord(at=BORN, code=None, why=f"the kernel has not ended pid {me.pid}")
    left = ChildRecord(name="runner", state="stopped", id=me, last_exit=exit_)
    observed = SupervisorObservation(record=with_child(left), is_answering=False, is_there=False)
    found = judge_stack(observed, ServerObservation(), ENDPOINTS, home="/h", clock=SystemClock())
    [runner] = [part for part in found.parts if part.name == "runner"]
    assert (runner.state, runner.pid, runner.uptime_s) == (PartState.NOT_READY, me.pid, None)
