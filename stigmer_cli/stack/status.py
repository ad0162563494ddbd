"""The state of a stack, part by part, observed once in bounded time; never reported better than it is."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from stigmer_cli.clock import Clock
from stigmer_cli.settings import Home, Settings
from stigmer_cli.stack.endpoints_file import Endpoints, read_endpoints
from stigmer_cli.stack.gone_programs import Gone, find_gone_programs
from stigmer_cli.stack.idle_runner import explain_idle_runner
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import NAMES, SERVER, SUPERVISOR, TEMPORAL, endpoints_of
from stigmer_cli.stack.port_holders import find_parts_missing_ports, is_listened_on
from stigmer_cli.stack.ports import owner_of
from stigmer_cli.stack.readiness import find_unready_parts, parse_time
from stigmer_cli.stack.server_probe import ServerObservation, ServerProbe
from stigmer_cli.stack.standstill import STATES, find_stalled_processes
from stigmer_cli.supervisor.child import ChildState
from stigmer_cli.supervisor.control import Unresponsive, connect
from stigmer_cli.supervisor.process import run_state
from stigmer_cli.supervisor.record import ChildRecord, ExitRecord, SupervisorRecord, read_record

LOOK_MAX_S = 1.0
"""A healthy server answers in a few milliseconds, on an overloaded machine in a few hundred."""


class StackState(StrEnum):
    """The stack as a whole; scripts rely on these words."""

    READY = "ready"
    BUSY = "busy"
    """Everything works, and the server refuses a part of what it is sent, for a moment."""
    DEGRADED = "degraded"
    STOPPED = "stopped"
    UNREACHABLE = "unreachable"
    """Only of a server elsewhere: whether it runs cannot be told."""


class PartState(StrEnum):
    """One part. `running` is said only of what is alive and, as far as can be seen from outside, does its work."""

    RUNNING = "running"
    NOT_READY = "not-ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"
    EXTERNAL = "external"


EXIT_CODES: Mapping[StackState, int] = {
    StackState.READY: 0,
    StackState.BUSY: 0,
    StackState.DEGRADED: 1,
    StackState.STOPPED: 3,
    StackState.UNREACHABLE: 4,
}
WELL = (StackState.READY, StackState.BUSY)
"""States in which everything works."""

SHOWN_AS: Mapping[str, PartState] = {
    ChildState.STARTING: PartState.NOT_READY,
    ChildState.BACKING_OFF: PartState.RESTARTING,
    ChildState.FAILED: PartState.FAILED,
    ChildState.STOPPING: PartState.STOPPING,
    ChildState.STOPPED: PartState.STOPPED,
}


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """The state of one part; `detail` says why where it is not `running`."""

    name: str
    state: PartState
    detail: str = ""
    pid: int | None = None
    started_at: str | None = None
    uptime_s: float | None = None
    restarts: int = 0
    last_exit: ExitRecord | None = None
    next_try_at: str | None = None
    ports: tuple[int, ...] = ()
    log: str | None = None

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return {
            "name": self.name,
            "state": self.state,
            "detail": self.detail,
            "pid": self.pid,
            "startedAt": self.started_at,
            "uptimeS": self.uptime_s,
            "restarts": self.restarts,
            "lastExit": self.last_exit.to_json() if self.last_exit else None,
            "nextTryAt": self.next_try_at,
            "ports": list(self.ports),
            "log": self.log,
        }


@dataclass(frozen=True, kw_only=True)
class StackStatus:
    """The state of the whole stack; `reasons` are those of the server itself.

    `elsewhere` says which server on another machine this is about; empty for a stack of this one. `connection` is the
    server's connection to Temporal as the server reports it, with the last changes; empty where it reports none. `gone`
    are the programs of running parts that were moved or removed.
    """

    state: StackState
    parts: tuple[PartStatus, ...]
    endpoints: Endpoints
    home: str
    reasons: tuple[str, ...] = ()
    connection: Mapping[str, object] = field(default_factory=dict)
    elsewhere: str = ""
    gone: Gone = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 ready, 1 degraded, 3 stopped, 4 a server elsewhere that cannot be reached."""
        return EXIT_CODES[self.state]

    def to_json(self) -> dict[str, object]:
        """The JSON object that scripts may rely on."""
        return {
            "state": self.state,
            "parts": [part.to_json() for part in self.parts],
            "reasons": list(self.reasons),
            "serverUrl": self.endpoints.server_url,
            "temporalAddress": self.endpoints.temporal_address,
            "temporalUiUrl": self.endpoints.ui_url,
            "namespace": self.endpoints.namespace,
            "ephemeral": self.endpoints.ephemeral,
            "home": self.home,
            "elsewhere": self.elsewhere or None,
            "gonePrograms": dict(self.gone),
        }


@dataclass(frozen=True, kw_only=True)
class SupervisorObservation:
    """What the supervisor said (`record`), or what its file says and whether it still answers.

    `parts_missing_ports`: the first port that a part does not hold, by part. `still`: why a part makes no progress, by
    part. `gone`: the programs of running parts that were moved or removed. The supervisor's answer was made between
    `asked_at` and `answered_at`.
    """

    record: SupervisorRecord | None
    is_answering: bool
    is_there: bool
    parts_missing_ports: Mapping[str, int] = field(default_factory=dict)
    still: Mapping[str, str] = field(default_factory=dict)
    gone: Gone = field(default_factory=dict)
    asked_at: datetime | None = None
    answered_at: datetime | None = None


async def status(settings: Settings, *, token: str | None, clock: Clock) -> StackStatus:
    """Observe supervisor and server concurrently; takes at most `LOOK_MAX_S` seconds for each, whatever hangs."""
    found = read_endpoints(settings.home) or endpoints_of(settings, StackOptions(), clock)
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(_observe_supervisor(settings, found, clock), name="supervisor")
        observing = ServerProbe(found.server_url, token).observe(LOOK_MAX_S, waits_for=server_pids(settings.home))
        asking = group.create_task(observing, name="server")
    seen = asking.result()
    if not looking.result().is_there and seen.pid is None and is_listened_on(found.server_port):
        why = f"not running; port {found.server_port} belongs to {owner_of(found.server_port)}"
        seen = replace(seen, why=why, is_unproven=True)
    return judge_stack(looking.result(), seen, found, home=str(settings.home.path), clock=clock)


def server_pids(home: Home) -> tuple[int, ...]:
    """The pid of the stack's server, as recorded; empty where it does not run."""
    record = read_record(home.run)
    child = record.child(SERVER) if record else None
    return (child.id.pid,) if child and child.id and child.id.is_alive else ()


def judge_stack(
    observed: SupervisorObservation, seen: ServerObservation, found: Endpoints, *, home: str, clock: Clock
) -> StackStatus:
    """The state of the stack that these observations prove."""
    lacking: Mapping[str, str] = {SERVER: seen.why} if seen.is_unproven else {}
    if observed.record and observed.is_answering:
        lacking = find_unready_parts(observed.record, seen, observed.parts_missing_ports, observed.still)
    parts = tuple(_judge_part(name, observed, lacking, found, clock) for name in NAMES)
    return StackStatus(
        state=_judge_state(parts, seen),
        parts=parts,
        endpoints=found,
        home=home,
        reasons=seen.reasons if observed.is_there else (),
        connection=seen.connection,
        gone=observed.gone,
    )


async def ask_supervisor(home: Home, *, within_s: float, clock: Clock) -> SupervisorObservation:
    """What the supervisor of `home` says, or what its file says and whether it still answers; nothing about its parts.

    Waits `within_s` seconds at most for each answer. Raises MachineError where this user may not connect.
    """
    folder = home.run
    try:
        control = await connect(folder, within_s=within_s)
        if control is None:
            return SupervisorObservation(record=read_record(folder), is_answering=False, is_there=False)
        async with control:
            asked_at = clock.now()
            record = await control.status()
            answered_at = clock.now()
    except (Unresponsive, OSError):
        return SupervisorObservation(record=read_record(folder), is_answering=False, is_there=True)
    return SupervisorObservation(
        record=record, is_answering=True, is_there=True, asked_at=asked_at, answered_at=answered_at
    )


async def _observe_supervisor(settings: Settings, found: Endpoints, clock: Clock) -> SupervisorObservation:
    seen = await ask_supervisor(settings.home, within_s=LOOK_MAX_S, clock=clock)
    if not seen.is_answering or seen.record is None:
        return seen
    still = explain_idle_runner(seen.record, settings.home) | await find_stalled_processes(
        seen.record, settings.home.run
    )
    missing, gone = find_parts_missing_ports(seen.record, found), find_gone_programs(seen.record)
    return replace(seen, parts_missing_ports=missing, still=still, gone=gone)


def _judge_state(parts: tuple[PartStatus, ...], seen: ServerObservation) -> StackState:
    states = {part.state for part in parts}
    if not states - {PartState.STOPPED, PartState.EXTERNAL}:
        return StackState.STOPPED
    if states - {PartState.RUNNING, PartState.EXTERNAL} or seen.state not in WELL:
        return StackState.DEGRADED
    return StackState(seen.state)


def _judge_part(
    name: str, observed: SupervisorObservation, lacking: Mapping[str, str], found: Endpoints, clock: Clock
) -> PartStatus:
    if name == SUPERVISOR:
        return _judge_supervisor(observed)
    child = observed.record.child(name) if observed.record else None
    if child is None:
        return _judge_absent(name, observed, lacking, found)
    if not observed.is_answering:
        return _judge_recorded(child, clock)
    state = SHOWN_AS.get(child.state, PartState.RUNNING)
    detail = lacking.get(name, "")
    if state is PartState.RUNNING and detail:
        state = PartState.NOT_READY
    if state is PartState.STOPPED and child.id is not None:
        state = PartState.STOPPING  # killed, and the kernel has not ended it
    if state is not PartState.RUNNING and child.last_exit and (child.id is None or state is PartState.STOPPING):
        detail = child.last_exit.why
    return PartStatus(
        name=name,
        state=state,
        detail=detail,
        pid=child.id.pid if child.id else None,
        started_at=child.started_at,
        uptime_s=child.uptime_s,
        restarts=child.restarts,
        last_exit=child.last_exit,
        next_try_at=child.next_try_at,
        ports=found.ports.get(name, ()),
        log=child.log,
    )


def _judge_supervisor(observed: SupervisorObservation) -> PartStatus:
    record = observed.record
    if record is None or not observed.is_there:
        silent = record is not None and record.id.is_alive
        state = PartState.NOT_READY if silent else PartState.STOPPED
        detail = "runs, but its socket is gone" if silent else ""
        return PartStatus(name=SUPERVISOR, state=state, detail=detail, pid=record.id.pid if silent and record else None)
    if not observed.is_answering:
        detail = STATES.get(run_state(record.id.pid) or "", "not answering")
        return PartStatus(name=SUPERVISOR, state=PartState.NOT_READY, detail=detail, pid=record.id.pid)
    return PartStatus(
        name=SUPERVISOR,
        state=PartState.STOPPING if record.is_stopping else PartState.RUNNING,
        pid=record.id.pid,
        started_at=record.started_at,
        uptime_s=record.uptime_s,
    )


def _judge_absent(
    name: str, observed: SupervisorObservation, lacking: Mapping[str, str], found: Endpoints
) -> PartStatus:
    """The status of a part that has no process of ours: it does not run, or somebody else runs it."""
    if name == TEMPORAL and observed.is_there and not found.owns_temporal:
        state = PartState.NOT_READY if name in lacking else PartState.EXTERNAL
        return PartStatus(name=name, state=state, detail=lacking.get(name, found.temporal_address))
    return PartStatus(name=name, state=PartState.STOPPED, detail=lacking.get(name, ""))


def _judge_recorded(child: ChildRecord, clock: Clock) -> PartStatus:
    """The status of a part whose supervisor does not answer: only whether the process still runs is known."""
    is_alive = child.id is not None and child.id.is_alive
    # One that the kernel has not ended is recorded without a start.
    is_timed = is_alive and child.started_at is not None
    uptime_s = max(0.0, (clock.now() - parse_time(child.started_at)).total_seconds()) if is_timed else None
    return PartStatus(
        name=child.name,
        state=PartState.NOT_READY if is_alive else PartState.STOPPED,
        detail="runs without a supervisor that answers" if is_alive else "",
        pid=child.id.pid if child.id and is_alive else None,
        started_at=child.started_at if is_alive else None,
        uptime_s=uptime_s,
        restarts=child.restarts,
        last_exit=child.last_exit,
        log=child.log,
    )
