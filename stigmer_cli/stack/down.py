"""Stops a stack, whatever state it is in, and proves that nothing of it is left."""

from collections.abc import Sequence
from dataclasses import dataclass

from stigmer_cli.clock import Clock
from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Home
from stigmer_cli.stack.parts import SUPERVISOR
from stigmer_cli.stack.ports import Owner, is_free, owner_of
from stigmer_cli.stack.state import STATE_FILE, Endpoints, endpoints
from stigmer_cli.supervisor.control import Control, Unresponsive, connect
from stigmer_cli.supervisor.lock import FileLock, held
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import LOCK_FILE, SOCKET
from stigmer_cli.supervisor.record import STATE_FILE as SUPERVISOR_FILE
from stigmer_cli.supervisor.record import SupervisorRecord, read_record
from stigmer_cli.supervisor.supervisor import end_survivors

UP_LOCK = "up.lock"
UP_LOCK_MAX_S = 5.0
ANSWER_MAX_S = 0.75
STOP_MAX_S = 9.25
"""Of the ten seconds that `down` may take: the graces of the parts are 8.5 s in the worst case."""

KILL_MAX_S = 0.25
LOCK_MAX_S = 1.0
PORTS_MAX_S = 0.5
LOOK_EVERY_S = 0.02
SIGTERM, SIGKILL, SIGCONT = 15, 9, 18


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A process that is gone now, and how it went."""

    name: str
    pid: int
    how: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What was stopped, in the order in which it was listed; `foreign` are ports that somebody else holds by now."""

    parts: tuple[Stopped, ...] = ()
    foreign: tuple[tuple[int, Owner], ...] = ()


async def down(home: Home, *, clock: Clock) -> Ended:
    """Stop everything that runs in `home`, Temporal last, within ten seconds; nothing running is no error.

    Raises MachineError where something could not be ended, and TimedOut while another `up` or `down` is in its way.
    """
    if not home.run.is_dir():
        return Ended()
    async with held(home.run / UP_LOCK, within_s=UP_LOCK_MAX_S, clock=clock):
        return await end_stack(home, clock=clock)


async def end_stack(home: Home, *, clock: Clock, only: ProcessId | None = None) -> Ended:
    """`down` for a caller that holds the up-lock; with `only`, nothing happens where another supervisor runs."""
    before = endpoints(home)
    record = await _end_supervisor(home, clock, only)
    if only and record and record.id != only:
        return Ended()
    lock = await _proof_of_death(home, clock)
    try:
        survivors = await end_survivors(
            [child.id for child in record.children if child.id] if record else [], clock=clock
        )
        left = [identity.pid for identity in survivors if identity.is_alive]
        if left:
            raise MachineError(f"the kernel does not end pid {', '.join(map(str, left))}", hint="stigmer doctor")
        after = read_record(home.run)
        foreign = await _ports_left(before, clock) if record else ()
        for name in (STATE_FILE, SUPERVISOR_FILE, SOCKET):
            (home.run / name).unlink(missing_ok=True)
    finally:
        lock.release()
    return Ended(parts=tuple(_account(record, after, survivors)), foreign=foreign)


async def _end_supervisor(home: Home, clock: Clock, only: ProcessId | None) -> SupervisorRecord | None:
    """Ask it to stop, and kill it where it does not; returns what it kept, from itself or from its file."""
    deadline = clock.monotonic() + STOP_MAX_S
    try:
        control = await connect(home.run, within_s=ANSWER_MAX_S)
    except Unresponsive:
        return await _end_silent(read_record(home.run), deadline, clock)
    if control is None:
        return await _end_silent(read_record(home.run), deadline, clock)
    async with control:
        try:
            record = await control.status()
            if only and record.id != only:
                return record
            await control.ask("stop")
        except Unresponsive:
            return await _end_silent(read_record(home.run), deadline, clock)
        await _gone(control, record, deadline, clock)
    return record


async def _gone(control: Control, record: SupervisorRecord, deadline: float, clock: Clock) -> None:
    if not await control.is_gone(deadline - clock.monotonic()):
        record.id.send(SIGKILL)  # its children die with it, or are ended as survivors
        await control.is_gone(KILL_MAX_S)


async def _end_silent(record: SupervisorRecord | None, deadline: float, clock: Clock) -> SupervisorRecord | None:
    """End a supervisor that does not answer: stopped by a signal, perhaps, or without its socket."""
    if record is None or not record.id.is_alive:
        return record
    record.id.send(SIGTERM)
    record.id.send(SIGCONT)
    while record.id.is_alive and clock.monotonic() < deadline:
        await clock.sleep(LOOK_EVERY_S)
    record.id.send(SIGKILL)
    return record


async def _proof_of_death(home: Home, clock: Clock) -> FileLock:
    """The supervisor's own lock, held: the kernel gives it away only when the supervisor is dead."""
    lock = FileLock(home.run / LOCK_FILE)
    deadline = clock.monotonic() + LOCK_MAX_S
    while not lock.acquire():
        if clock.monotonic() >= deadline:
            raise MachineError(
                f"a supervisor (pid {lock.holder()}) still holds {lock.path}, and what it wrote down does not prove "
                "that it is ours to end",
                hint=f"look at it (ps -p {lock.holder()}), end it, and try again",
            )
        await clock.sleep(LOOK_EVERY_S)
    return lock


async def _ports_left(found: Endpoints | None, clock: Clock) -> tuple[tuple[int, Owner], ...]:
    """The ports of the stack that are still listened on once its processes are gone: by somebody else, then."""
    ports = [port for ports in found.ports.values() for port in ports] if found else []
    deadline = clock.monotonic() + PORTS_MAX_S
    while (taken := [port for port in ports if not is_free(port)]) and clock.monotonic() < deadline:
        await clock.sleep(LOOK_EVERY_S)
    return tuple((port, owner_of(port)) for port in taken)


def _account(
    before: SupervisorRecord | None, after: SupervisorRecord | None, survivors: Sequence[ProcessId]
) -> list[Stopped]:
    """One line for each process that ran before and is gone now."""
    if before is None:
        return []
    found = []
    for child in before.children:
        if child.id is None:
            continue
        end = after.child(child.name) if after else None
        how = end.last_exit.why if end and end.id is None and end.last_exit else "it had died with its supervisor"
        if child.id in survivors:
            how = "killed: its supervisor had died"
        found.append(Stopped(name=child.name, pid=child.id.pid, how=how.replace("stop was asked for", "stopped")))
    return [*found, Stopped(name=SUPERVISOR, pid=before.id.pid, how="stopped")]
