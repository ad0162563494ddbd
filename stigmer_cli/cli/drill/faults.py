"""The faults of a drill: how each is injected into the processes of a stack, and how it ends."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import psutil

from stigmer_cli.clock import Clock
from stigmer_cli.errors import OperationFailed
from stigmer_cli.settings import Home
from stigmer_cli.stack.parts import RUNNER, SERVER, SUPERVISOR, TEMPORAL
from stigmer_cli.supervisor.record import read_record

FROZEN_S = 4.0
"""For how long a part is frozen: the supervisor replaces it only after 15 s."""

HELD_S = 1.5
"""For how long the runner is held, so that executions wait in the Temporal that is going to be emptied."""

FULL_S = 4.0
"""For how long the server cannot write."""

HOLD_AGAIN_S = 0.1

DATABASE_FILES = ("", "-wal", "-shm", "-journal")


class NotPossible(Exception):
    """This machine does not let the fault be injected; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Victim:
    """The stack that is hurt."""

    home: Home
    clock: Clock

    def pid(self, part: str) -> int:
        """The pid of a part; raises OperationFailed if it does not run."""
        record = read_record(self.home.run)
        if record is not None and part == SUPERVISOR:
            return record.id.pid
        child = record.child(part) if record else None
        if child is None or child.id is None:
            raise OperationFailed(f"{part} does not run", hint="stigmer up")
        return child.id.pid


Injection = Callable[[Victim], AbstractAsyncContextManager[None]]


def _kill(part: str) -> Injection:
    @asynccontextmanager
    async def inject(victim: Victim) -> AsyncIterator[None]:
        os.kill(victim.pid(part), signal.SIGKILL)
        yield

    return inject


def _freeze(part: str) -> Injection:
    @asynccontextmanager
    async def inject(victim: Victim) -> AsyncIterator[None]:
        async with stopped(victim, part):
            yield
            await victim.clock.sleep(FROZEN_S)

    return inject


@asynccontextmanager
async def _refuse_writes(victim: Victim) -> AsyncIterator[None]:
    """Have the kernel refuse every write of the server to a file (EFBIG), also of one that replaces it.

    A limit of the process needs no rights, and a full file system would hurt more than this stack.
    """
    held = [_limit_file_size(victim)]
    try:
        yield
        ends = victim.clock.monotonic() + FULL_S
        while victim.clock.monotonic() < ends:
            await victim.clock.sleep(HOLD_AGAIN_S)
            with suppress(OperationFailed):  # between two processes
                held.append(_limit_file_size(victim))
    finally:
        for server, before in held:
            with suppress(psutil.Error):
                server.rlimit(psutil.RLIMIT_FSIZE, before)


def _limit_file_size(victim: Victim) -> tuple[psutil.Process, tuple[int, int]]:
    """The server, and the limits that it had; raises NotPossible where a limit of another process cannot be set."""
    if not hasattr(psutil.Process, "rlimit"):
        raise NotPossible("this system cannot limit another process")
    try:
        server = psutil.Process(victim.pid(SERVER))
        before = server.rlimit(psutil.RLIMIT_FSIZE)
        server.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
    except psutil.NoSuchProcess as error:
        raise OperationFailed("the server has ended", hint="stigmer status") from error
    except (psutil.AccessDenied, OSError) as error:
        raise NotPossible("the kernel refuses to limit the server") from error
    return server, before


@asynccontextmanager
async def _empty(victim: Victim) -> AsyncIterator[None]:
    """Kill Temporal and delete its database, while executions that no run has claimed wait in it."""
    async with stopped(victim, RUNNER):
        await victim.clock.sleep(HELD_S)
        async with stopped(victim, SUPERVISOR):
            os.kill(victim.pid(TEMPORAL), signal.SIGKILL)
            for side in DATABASE_FILES:
                victim.home.temporal_file.with_name(victim.home.temporal_file.name + side).unlink(missing_ok=True)
        yield


@asynccontextmanager
async def stopped(victim: Victim, part: str) -> AsyncIterator[None]:
    """`part` is frozen by a signal, and let go on however this ends."""
    pid = victim.pid(part)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


FAULTS: Mapping[str, Injection] = {
    "kill-server": _kill(SERVER),
    "kill-runner": _kill(RUNNER),
    "kill-temporal": _kill(TEMPORAL),
    "freeze-server": _freeze(SERVER),
    "freeze-runner": _freeze(RUNNER),
    "freeze-temporal": _freeze(TEMPORAL),
    "full-disk": _refuse_writes,
    "empty-temporal": _empty,
}
"""Each fault by its name. It lasts as long as the context, and has been injected when that is entered."""

FORGETS = "empty-temporal"
"""The fault that makes Temporal forget also what is not the drill's."""
