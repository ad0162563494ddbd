"""Brings a stack up, whatever state it is in, and returns when it is proven ready.

`up` decides under a lock: it joins a running stack, or ends the rest of a dead one and starts a new one. It waits
without the lock, so that `down` can interrupt it; of fifty concurrent calls one starts the stack and the others join.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from stigmer_cli.clock import Clock, iso
from stigmer_cli.credential import ensure_token
from stigmer_cli.errors import Conflict, MachineError, OperationFailed, TimedOut, reason_of
from stigmer_cli.settings import Home, Settings
from stigmer_cli.stack.contradictions import refuse_contradictions
from stigmer_cli.stack.copied_home import heed_original
from stigmer_cli.stack.differences import Difference
from stigmer_cli.stack.down import UP_LOCK
from stigmer_cli.stack.endpoints_file import STATE_FILE, Endpoints, read_endpoints, write_endpoints
from stigmer_cli.stack.failure import FailedPart, StartFailed, start_failed
from stigmer_cli.stack.home import prepare_home
from stigmer_cli.stack.http_endpoints import draw_http_endpoints
from stigmer_cli.stack.idle_runner import explain_idle_runner
from stigmer_cli.stack.last_supervisor import STOPPING_MAX_S, clear_the_dead, explain_silence, is_stopping
from stigmer_cli.stack.machine_needs import require_machine
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import (
    SERVER,
    PartsBuilder,
    build_parts,
    check_local,
    endpoints_of,
    local,
    supervisor_spec,
)
from stigmer_cli.stack.port_claims import PortClaims
from stigmer_cli.stack.port_holders import accepts_connections, find_parts_missing_ports
from stigmer_cli.stack.ports import with_ports
from stigmer_cli.stack.readiness import find_unready_parts, select_changes
from stigmer_cli.stack.rollback import describe_left, roll_back
from stigmer_cli.stack.server_probe import ServerProbe
from stigmer_cli.stack.standstill import find_stalled_processes
from stigmer_cli.stack.start_requests import forget_store_of_stopped_server, request_adoption, request_at_start
from stigmer_cli.stack.start_settings import (
    OLD_SUPERVISOR,
    Opening,
    find_pending_changes,
    refuse_new,
    respawn,
    settings_to_start,
    token_of,
)
from stigmer_cli.stack.status import server_pids
from stigmer_cli.supervisor.child import ChildState
from stigmer_cli.supervisor.control import Control, Unresponsive, connect
from stigmer_cli.supervisor.launch import launch
from stigmer_cli.supervisor.lock import held
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import SupervisorRecord
from stigmer_cli.supervisor.spec import ChildSpec

ANSWER_MAX_S = 2.0
LOOK_MAX_S = 2.0
LOOK_EVERY_S, LOOK_AGAIN_S = 0.25, 0.02  # once the server answers, the rest comes soon
KNOCK_EVERY_S = 0.02
"""How often a start tries whether the server accepts connections, which ends the wait for the next look."""

LAST_LOOK_S = 1.0
"""The least time for one observation, even after the deadline: a busy machine must not decide the last one."""
JOINED_LOOK_EVERY_S = 0.2
"""A call that only waits for another one's start polls less often: there may be fifty."""

DRAWS_MAX = 5
QUICK_ENDS_MAX = 3
"""A part that ended so often during the start will not come up."""

ALIVE = (ChildState.RUNNING, ChildState.STARTING)


class Progress(Protocol):
    """Receives each change of a part's state once."""

    def part(self, name: str, state: str) -> None:
        """`name` is `ready`, or waits for what `state` says."""


@dataclass(frozen=True, kw_only=True)
class UpContext:
    """The surroundings of `up`: the clock, the environment of the children, the builder of the parts.

    `tell` is called with a line for each setting that a part is given differently from its last start, and
    `while_launching` is entered while a supervisor is launched.
    """

    clock: Clock
    environ: Mapping[str, str] = field(repr=False)
    build: PartsBuilder = build_parts
    tell: Callable[[str], None] = field(default=lambda _: None, repr=False)
    claims: PortClaims = field(default_factory=PortClaims, repr=False)
    while_launching: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, repr=False)

    def tell_changes(self, changes: Sequence[Difference] | None) -> tuple[Difference, ...]:
        """Call `tell` for each of `changes` and return them; None: the supervisor is too old to take any."""
        for line in [OLD_SUPERVISOR] if changes is None else [f"changed: {change}" for change in changes]:
            self.tell(line)
        return tuple(changes or ())


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A stack that is proven ready. `started` names the parts that this `up` started; empty: it touched nothing.

    `changes` is what those were given differently from before, `pending` what only a restart would change.
    """

    endpoints: Endpoints
    home: Path
    logs: Path
    record: SupervisorRecord
    started: tuple[str, ...]
    took_s: float
    changes: tuple[Difference, ...] = ()
    pending: tuple[Difference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What was decided: the stack to wait for, which parts were started, and the supervisor if this `up` started it.

    `failed_before` is how often a part that runs had failed before: which this start did not cause. `opening` is
    the record that this `up` wrote.
    """

    endpoints: Endpoints
    token: str
    started: tuple[str, ...]
    own: ProcessId | None
    failed_before: Mapping[str, int] = field(default_factory=dict)
    changes: tuple[Difference, ...] = ()
    pending: tuple[Difference, ...] = ()
    opening: Opening | None = None


async def up(settings: Settings, options: StackOptions, *, progress: Progress, around: UpContext) -> Ready:
    """Make the stack of these settings run, and return once it is proven ready.

    Raises StartFailed or OperationFailed where a part does not start, PortsTaken or MachineError where the machine
    stands in the way, ConfigError where a flag contradicts a stack that runs, TimedOut after `wait_timeout_s`. What
    this call started is stopped again whenever it raises, or is cancelled. Where `auto_ports` allows it and somebody
    takes a port after it was found free, others are drawn, DRAWS_MAX times at the most.
    """
    began = around.clock.monotonic()
    for draws in range(1, DRAWS_MAX + 1):
        with PortClaims() as claims:
            try:
                return await _up(settings, options, began, progress=progress, around=replace(around, claims=claims))
            except StartFailed as error:
                if not (options.auto_ports and error.is_port_taken) or draws == DRAWS_MAX:
                    raise
    raise AssertionError("unreachable")


async def _up(
    settings: Settings, options: StackOptions, began: float, *, progress: Progress, around: UpContext
) -> Ready:
    """One try of `up`, which has been under way since `began`."""
    home, clock = settings.home, around.clock
    check_local(settings)
    require_machine()
    heed_original(settings, prepare_home(home), around.tell)
    async with held(home.run / UP_LOCK, within_s=options.wait_timeout_s, clock=clock):
        begun = await _begin(settings, options, around)
    try:
        deadline = began + options.wait_timeout_s
        record = await wait_until_ready(home, begun, deadline=deadline, progress=progress, clock=clock)
    except BaseException:
        if begun.own:
            await roll_back(home, begun.own, begun.opening, clock=clock, tell=around.tell)
        else:
            around.tell(describe_left(begun.started))
        raise
    return Ready(
        endpoints=begun.endpoints,
        home=home.path,
        logs=home.logs,
        record=record,
        started=begun.started,
        took_s=clock.monotonic() - began,
        changes=begun.changes,
        pending=begun.pending,
    )


# -- decide


async def _begin(settings: Settings, options: StackOptions, around: UpContext) -> Begun:
    control = await connect_to_supervisor(settings.home)
    if control is not None:
        async with control:
            try:
                record = await control.status()
            except Unresponsive as error:
                if not is_stopping(settings.home):
                    raise explain_silence(settings.home) from error
            else:
                if not record.is_stopping:
                    return await _join(settings, options, control, record, around)
            await control.is_gone(STOPPING_MAX_S)
    return await _start(settings, options, around)


async def connect_to_supervisor(home: Home) -> Control | None:
    """A connection to the supervisor of `home`, None if none runs; raises MachineError if it does not answer."""
    try:
        return await connect(home.run, within_s=ANSWER_MAX_S)
    except Unresponsive as error:
        raise explain_silence(home) from error


async def _join(
    settings: Settings, options: StackOptions, control: Control, record: SupervisorRecord, around: UpContext
) -> Begun:
    """Bring back what is down in a running stack, with the current settings; running parts are not touched."""
    found = read_endpoints(settings.home)
    if found is None:  # somebody removed the file: the stack was started with settings like these
        found = endpoints_of(settings, options, around.clock)
        write_endpoints(settings.home, found)
    refuse_contradictions(settings, options, found)
    refuse_new(settings, options)
    dead = tuple(child.name for child in record.children if child.state not in ALIVE)
    token = await token_of(control, settings)
    changes: list[Difference] = []
    if options.new_store:
        forget_store_of_stopped_server(settings.home, dead)
    for name in dead:
        changes += around.tell_changes(await respawn_part(control, "start", name, settings, options, around))
    if options.adopts_temporal:
        request_adoption(settings.home)
        await control.ask("restart", SERVER)
    return Begun(
        endpoints=found,
        token=token,
        started=dead,
        own=None,
        failed_before={child.name: child.failures for child in record.children if child.name not in dead},
        changes=tuple(changes),
        pending=find_pending_changes(settings),
    )


async def respawn_part(
    control: Control, op: str, name: str, settings: Settings, options: StackOptions, around: UpContext
) -> tuple[Difference, ...] | None:
    """`respawn` with the parts and the environment of `around`."""

    def build(used: Settings) -> Sequence[ChildSpec]:
        return around.build(local(used), replace(options, only=(name,)), around.environ)

    return await respawn(control, op, name, settings=settings, build=build, at=iso(around.clock.now()))


async def _start(settings: Settings, options: StackOptions, around: UpContext) -> Begun:
    home, clock = settings.home, around.clock
    asked = settings_to_start(settings, options)
    await clear_the_dead(home, clock)
    settings = local(with_ports(asked, options, around.claims))
    if settings.runs_own_temporal:
        options = replace(options, http_endpoints=draw_http_endpoints(settings, options))
    children = around.build(settings, options, around.environ)
    token = settings.token or ensure_token(home)
    found = endpoints_of(settings, options, clock)
    state_file = home.run / STATE_FILE
    opening = Opening(asked, settings, [child.name for child in children], at=found.started_at)
    around.tell_changes(opening.changes)
    try:
        write_endpoints(home, found)
        opening.write()
        request_at_start(home, options)
        spec, keeps = supervisor_spec(settings, children), around.claims.descriptors
        with around.while_launching():
            own = await launch(spec, environ=around.environ, clock=clock, keeps=keeps)
        around.claims.leave_to_supervisor()  # should it be stopped, others need not wait for this call to notice
    except Conflict as error:
        opening.take_back()
        raise explain_silence(home) from error
    except OSError as error:
        opening.take_back()
        raise MachineError(
            f"cannot write {state_file}: {reason_of(error)}", hint="free space, or make it writable"
        ) from error
    except BaseException:
        state_file.unlink(missing_ok=True)
        opening.take_back()
        raise
    return Begun(
        endpoints=found,
        token=token,
        started=tuple(child.name for child in children),
        own=own,
        changes=opening.changes,
        opening=opening,
    )


# -- wait


async def wait_until_ready(
    home: Home, begun: Begun, *, deadline: float, progress: Progress, clock: Clock
) -> SupervisorRecord:
    """Wait until the stack is proven ready, and return its record; raises as `up` does."""
    control = await connect_to_supervisor(home)
    if control is None:
        raise OperationFailed("the stack was stopped while it was starting", hint="stigmer up")
    probe = ServerProbe(begun.endpoints.server_url, begun.token)
    told: dict[str, str] = {}
    async with control:
        while True:
            record = await status_of(control)
            await _refuse_failed(home, begun, control, record)
            left_s = deadline - clock.monotonic()
            within_s = max(min(LOOK_MAX_S, left_s), LAST_LOOK_S)
            seen = await probe.observe(within_s, waits_for=server_pids(home))
            still = explain_idle_runner(record, home) | await find_stalled_processes(record, home.run)
            lacking = find_unready_parts(record, seen, find_parts_missing_ports(record, begun.endpoints), still)
            for name, state in select_changes(record, lacking, told).items():
                told[name] = state
                progress.part(name, state)
            if not lacking:
                return record
            if left_s <= 0:
                raise _timed_out(lacking)
            await _pause(begun, is_answered=seen.pid is not None, clock=clock)


async def _pause(begun: Begun, *, is_answered: bool, clock: Clock) -> None:
    """Wait until the next look may show something new.

    A look takes a hundredth of a second of a processor, and the parts that are awaited need both of a small machine.
    """
    if not begun.own:
        await clock.sleep(JOINED_LOOK_EVERY_S)
    elif is_answered:
        await clock.sleep(LOOK_AGAIN_S)
    else:
        until = clock.monotonic() + LOOK_EVERY_S
        while clock.monotonic() < until and not accepts_connections(begun.endpoints.server_port):
            await clock.sleep(KNOCK_EVERY_S)


async def status_of(control: Control) -> SupervisorRecord:
    """The supervisor's record; raises OperationFailed where the stack is stopping or gone."""
    try:
        record = await control.status()
    except Unresponsive as error:
        raise OperationFailed("the supervisor ended while the stack was starting", hint="stigmer status") from error
    if record.is_stopping:
        raise OperationFailed("the stack was stopped while it was starting", hint="stigmer up")
    return record


async def _refuse_failed(home: Home, begun: Begun, control: Control, record: SupervisorRecord) -> None:
    for child in record.children:
        failures = child.failures - begun.failed_before.get(child.name, 0)
        if child.state == ChildState.FAILED or failures >= QUICK_ENDS_MAX:
            answer = await control.ask("lines", child.name)
            lines = answer.get("lines")
            own = lines.get(child.name, []) if isinstance(lines, dict) else []
            raise start_failed(FailedPart(child=child, lines=own, endpoints=begun.endpoints, home=home))


def _timed_out(lacking: Mapping[str, str]) -> TimedOut:
    where = "; ".join(f"{name}: {why}" for name, why in lacking.items())
    return TimedOut(f"the stack is not ready in time: {where}", hint="stigmer up --wait-timeout SPAN, or stigmer logs")
