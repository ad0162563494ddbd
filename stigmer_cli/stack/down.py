"""Stops a stack, whatever state it is in, and proves that nothing of it is left."""

import contextlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stigmer_cli.clock import Clock
from stigmer_cli.errors import MachineError
from stigmer_cli.settings import Home
from stigmer_cli.stack.endpoints_file import STATE_FILE, Endpoints, read_endpoints
from stigmer_cli.stack.home import is_ours, purge_home
from stigmer_cli.stack.parts import SUPERVISOR
from stigmer_cli.stack.ports import Owner, is_free, owner_of
from stigmer_cli.supervisor.control import Control, Unresponsive, connect
from stigmer_cli.supervisor.lock import FileLock, held
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import LOCK_FILE, SOCKET, SupervisorRecord, read_record
from stigmer_cli.supervisor.record import STATE_FILE as SUPERVISOR_FILE
from stigmer_cli.supervisor.supervisor import end_survivors

UP_LOCK = "up.lock"
UP_LOCK_MAX_S = 5.0
ANSWER_MAX_S = 0.5
STOP_MAX_S = 9.25
"""Of the ten seconds that `down` may take: the graces of the parts are 8.5 s in the worst case."""

LOCK_MAX_S = 1.0
PORTS_MAX_S = 0.5
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A process that has ended, and how."""

    name: str
    pid: int
    how: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What was stopped; `foreign` are its ports that other processes hold now, `deleted` what a purge removed."""

    parts: tuple[Stopped, ...] = ()
    foreign: tuple[tuple[int, Owner], ...] = ()
    deleted: tuple[Path, ...] = ()


async def down(home: Home, *, clock: Clock) -> Ended:
    """Stop everything that runs in `home`, Temporal last, within ten seconds; nothing running is no error.

    Raises MachineError where something could not be ended, and TimedOut while another `up` or `down` holds the lock.
    """
    if not (home.run.is_dir() and is_ours(home)):
        return Ended()
    async with held(home.run / UP_LOCK, within_s=UP_LOCK_MAX_S, clock=clock):
        return await end_stack(home, clock=clock)


async def purge(home: Home, *, clock: Clock) -> Ended:
    """`down`, then delete what `purge_home` does; raises MachineError where that fails."""
    if not (home.run.is_dir() and is_ours(home)):
        return Ended(deleted=tuple(purge_home(home)))
    async with held(home.run / UP_LOCK, within_s=UP_LOCK_MAX_S, clock=clock):
        ended = await end_stack(home, clock=clock)
        return replace(ended, deleted=tuple(purge_home(home)))


async def end_stack(home: Home, *, clock: Clock, only: ProcessId | None = None) -> Ended:
    """`down` for a caller that holds the up-lock; with `only`, nothing happens where another supervisor runs."""
    before = read_endpoints(home)
    found = await _find(home)
    if only is not None and found.record is not None and found.record.id != only:
        await found.close()
        return Ended()
    await _end_supervisor(found, clock)
    lock = await _proof_of_death(home, clock)
    try:
        survivors = await _end_survivors(found.record, clock)
        after = read_record(home.run)
        foreign = await _ports_left(before, clock)
        for name in (STATE_FILE, SUPERVISOR_FILE, SOCKET):
            with contextlib.suppress(OSError):  # a read-only file system: the processes in the file have ended anyway
                (home.run / name).unlink(missing_ok=True)
    finally:
        lock.release()
    return Ended(parts=tuple(_account(found, after, survivors)), foreign=foreign)


@dataclass(frozen=True, kw_only=True)
class FoundSupervisor:
    """The supervisor to end: a connection where it answers, and its record from itself or from its file."""

    control: Control | None
    record: SupervisorRecord | None
    was_alive: bool

    async def close(self) -> None:
        """Close the connection."""
        if self.control is not None:
            await self.control.close()


async def _find(home: Home) -> FoundSupervisor:
    control = None
    try:
        control = await connect(home.run, within_s=ANSWER_MAX_S)
        if control is not None:
            return FoundSupervisor(control=control, record=await control.status(), was_alive=True)
    except Unresponsive:
        if control is not None:
            await control.close()
    record = read_record(home.run)
    return FoundSupervisor(control=None, record=record, was_alive=record is not None and record.id.is_alive)


async def _end_supervisor(found: FoundSupervisor, clock: Clock) -> None:
    """Ask it to stop, and kill it where it does not: its children die with it, or are ended as survivors."""
    deadline = clock.monotonic() + STOP_MAX_S
    if found.record is None or not found.was_alive:
        return
    identity = found.record.id
    if found.control is not None:
        with contextlib.suppress(Unresponsive):
            await found.control.ask("stop")
        await found.control.is_gone(deadline - clock.monotonic())
        await found.close()
    else:  # stopped by a signal, perhaps, or without its socket
        identity.send(signal.SIGTERM)
        identity.send(signal.SIGCONT)
    # A process closes its connections before it has ended: on a busy machine, long before.
    while identity.is_alive and clock.monotonic() < deadline:
        await clock.sleep(LOOK_EVERY_S)
    if identity.is_alive:
        identity.send(signal.SIGKILL)


async def _end_survivors(record: SupervisorRecord | None, clock: Clock) -> list[ProcessId]:
    recorded = [child.id for child in record.children if child.id] if record else []
    survivors = await end_survivors(recorded, clock=clock)
    left = [str(identity.pid) for identity in survivors if identity.is_alive]
    if left:
        raise MachineError(
            f"the kernel has not ended pid {', '.join(left)}: killed, and still there (a frozen cgroup, or a disk that"
            " does not answer)",
            hint=f"ps -o pid,stat,wchan,cmd -p {','.join(left)}; then stigmer down again",
        )
    return survivors


async def _proof_of_death(home: Home, clock: Clock) -> FileLock:
    """The supervisor's own lock, held: it can be acquired only once the supervisor is dead."""
    lock = FileLock(home.run / LOCK_FILE)
    deadline = clock.monotonic() + LOCK_MAX_S
    while not lock.acquire():
        if clock.monotonic() >= deadline:
            raise MachineError(
                f"a supervisor (pid {lock.holder()}) still holds {lock.path},"
                " and its record does not prove that it belongs to this home",
                hint=f"look at it (ps -p {lock.holder()}), end it, and try again",
            )
        await clock.sleep(LOOK_EVERY_S)
    return lock


async def _ports_left(found: Endpoints | None, clock: Clock) -> tuple[tuple[int, Owner], ...]:
    """The ports of the stack that still have a listener once its processes are gone, with that listener."""
    ports = [port for ports in found.ports.values() for port in ports] if found else []
    deadline = clock.monotonic() + PORTS_MAX_S
    while (taken := [port for port in ports if not is_free(port)]) and clock.monotonic() < deadline:
        await clock.sleep(LOOK_EVERY_S)
    return tuple((port, owner_of(port)) for port in taken)


def _account(found: FoundSupervisor, after: SupervisorRecord | None, survivors: Sequence[ProcessId]) -> list[Stopped]:
    """One line for each process that ran before and is gone now."""
    if found.record is None:
        return []
    if not found.was_alive:
        names = {child.id: child.name for child in found.record.children}
        return [Stopped(name=names[one], pid=one.pid, how="killed: its supervisor had died") for one in survivors]
    parts = []
    for child in found.record.children:
        if child.id is not None:
            end = after.child(child.name) if after else None
            how = end.last_exit.why if end and end.last_exit and end.id is None else "killed with its supervisor"
            parts.append(Stopped(name=child.name, pid=child.id.pid, how=how.replace("stop was asked for", "stopped")))
    return [*parts, Stopped(name=SUPERVISOR, pid=found.record.id.pid, how="stopped")]
