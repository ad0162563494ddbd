"""The life of one child: started, watched, restarted by its policy, stopped when asked.

    STOPPED ──▶ STARTING ──▶ RUNNING ──asked──▶ STOPPING ──▶ STOPPED
                 ▲    │         │
                 │    └─────────┴─ended by itself──▶ BACKING_OFF, or FAILED after too many quick ends
                 └────────────delay is over, or asked────┘ │
                                            STOPPED ◀─asked┘

`Child.run` makes every move; `start`, `stop`, `restart`, `close` only note what is wanted and wake it. A FAILED child
is retried at long intervals.
"""

import asyncio
import signal
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

from stigmer_cli.clock import Clock, iso
from stigmer_cli.supervisor.logfile import LogFile
from stigmer_cli.supervisor.policy import Again, Slowly
from stigmer_cli.supervisor.process import Process, ProcessId, Reaper
from stigmer_cli.supervisor.record import ChildRecord, ExitRecord
from stigmer_cli.supervisor.spec import ChildSpec
from stigmer_cli.time_format import span
from stigmer_cli.waits import wait_at_most

KILL_MAX_S = 2.0
"""How long SIGKILL may take; a process that the kernel cannot end (a dead disk) is left to it."""


class ChildState(StrEnum):
    """The state of a child."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing-off"
    FAILED = "failed"
    STOPPING = "stopping"


TRANSITIONS: dict[ChildState, frozenset[ChildState]] = {
    ChildState.STOPPED: frozenset({ChildState.STARTING}),
    ChildState.STARTING: frozenset({ChildState.RUNNING, ChildState.BACKING_OFF, ChildState.FAILED}),
    ChildState.RUNNING: frozenset({ChildState.STOPPING, ChildState.BACKING_OFF, ChildState.FAILED}),
    ChildState.BACKING_OFF: frozenset({ChildState.STARTING, ChildState.STOPPED}),
    ChildState.FAILED: frozenset({ChildState.STARTING, ChildState.STOPPED}),
    ChildState.STOPPING: frozenset({ChildState.STOPPED}),
}


class DesiredState(StrEnum):
    """What a child was last asked for."""

    RUN = "run"
    REST = "rest"
    END = "end"


class Child:
    """One child and its log file. `changed` is called after every move."""

    def __init__(
        self, spec: ChildSpec, *, log: LogFile, clock: Clock, reaper: Reaper, changed: Callable[["Child"], None]
    ) -> None:
        self.spec = spec
        self.next_spec = spec
        self.log = log
        self.state = ChildState.STOPPED
        self.process: Process | None = None
        self.restarts = 0
        self.failures = 0
        self.last_exit: ExitRecord | None = None
        self._clock, self._reaper, self._changed = clock, reaper, changed
        self._desired = DesiredState.RUN
        self._is_hurried = False
        self._is_recycled = False
        self._unended: ProcessId | None = None
        self._why_stopped = ""
        self._wake = asyncio.Event()
        self._starts = 0
        self._started_at: str | None = None
        self._started = 0.0
        self._next_try_at: str | None = None

    # -- requests

    def start(self, spec: ChildSpec | None = None) -> bool:
        """Run; a child that waits or rests is started at once, its failures forgotten. Nothing where it runs.

        With `spec`, as that says from now on; its log file and its liveness stay. Returns whether `spec` counts: a
        running child keeps its own.
        """
        is_taken = spec is not None and self.process is None
        if spec is not None and is_taken:
            self.next_spec = spec
        self._wish_to_run()
        return is_taken

    def _wish_to_run(self) -> None:
        if self._desired is not DesiredState.END:
            self._desired = DesiredState.RUN
            self.failures = 0
            self._is_hurried = True
            self._wake.set()

    def hurry(self) -> None:
        """Start at once if it waits to be started again; its failures count on."""
        if self._desired is DesiredState.RUN and self.state in (ChildState.BACKING_OFF, ChildState.FAILED):
            self._is_hurried = True
            self._wake.set()

    def stop(self) -> None:
        """Stop, and stay stopped until asked."""
        if self._desired is not DesiredState.END:
            self._desired = DesiredState.REST
            self._wake.set()

    def restart(self, why: str = "restart was asked for", *, spec: ChildSpec | None = None) -> None:
        """Stop if it runs, as its spec says, and start: with `spec`, as that says from now on; its log file stays."""
        self.next_spec = spec or self.next_spec
        self._wish_to_run()
        self._is_recycled = self.process is not None
        self._why_stopped = why

    def close(self) -> None:
        """Stop for good: `run` returns."""
        self._desired = DesiredState.END
        self._wake.set()

    def kill(self) -> None:
        """Close without grace."""
        self.close()
        if self.process:
            self.process.kill_group()

    def record(self) -> ChildRecord:
        """The child as it stands."""
        return ChildRecord(
            name=self.spec.name,
            state=self.state,
            id=self.process.id if self.process else self._find_unended(),
            started_at=self._started_at if self.process else None,
            uptime_s=round(self._clock.monotonic() - self._started, 3) if self.process else None,
            restarts=self.restarts,
            failures=self.failures,
            last_exit=self.last_exit,
            next_try_at=self._next_try_at,
            log=str(self.spec.log),
            dropped=self.log.dropped,
        )

    def _find_unended(self) -> ProcessId | None:
        """The process that SIGKILL has not ended (a frozen cgroup, a dead disk); it still has our ports."""
        if self._unended is not None and not self._unended.is_alive:
            self._unended = None
        return self._unended

    # -- lifecycle

    async def run(self) -> None:
        """Start, stop and restart as asked, until closed and stopped."""
        while self._desired is not DesiredState.END:
            if self._desired is DesiredState.REST:
                await self._wait_for_wake(None)
                continue
            await self._live_once()
        self.log.close()

    async def _live_once(self) -> None:
        process = self._begin()
        if process:
            await self._wait_until_ended_or_called_off(process)
            if process.code is None:
                await self._stop(process)
                return
        await self._pause(self._note_end(process))

    def _begin(self) -> Process | None:
        self._is_hurried = self._is_recycled = False
        self.spec = self.next_spec
        self._next_try_at = None
        self._starts += 1
        self.restarts = self._starts - 1
        self._move(ChildState.STARTING)
        self._started, self._started_at = self._clock.monotonic(), iso(self._clock.now())
        if unended := self._find_unended():
            self._note_exit(code=None, number=None, why=_describe_unended(unended))
            return None
        try:
            self.process = Process(self.spec, on_output=self.log.write, on_exit=self._wake.set)
        except OSError as error:
            self._note_exit(code=None, number=None, why=f"could not be started: {error}")
            return None
        self._reaper.watch(self.process)
        self._move(ChildState.RUNNING)
        return self.process

    async def _wait_until_ended_or_called_off(self, process: Process) -> None:
        while process.code is None and self._desired is DesiredState.RUN and not self._is_recycled:
            await self._wait_for_wake(None)

    async def _stop(self, process: Process) -> None:
        why = self._why_stopped if self._is_recycled else "stop was asked for"
        self._move(ChildState.STOPPING)
        process.send(self.spec.stop_signal)
        process.send(signal.SIGCONT)  # so that a frozen one can handle the signal
        if not await self._ends_within(process, self.spec.stop_grace_s):
            why += f"; it did not end within {span(self.spec.stop_grace_s)} and was killed"
            process.kill_group()
            if not await self._ends_within(process, KILL_MAX_S):
                self._unended = process.id
        self._note_process_exit(process, why)
        self.process = None
        self._move(ChildState.STOPPED)

    async def _ends_within(self, process: Process, within_s: float) -> bool:
        deadline = self._clock.monotonic() + within_s
        while process.code is None and (left_s := deadline - self._clock.monotonic()) > 0:
            await self._wait_for_wake(left_s)
        return process.code is not None

    def _note_end(self, process: Process | None) -> float:
        """Record an end nobody asked for; returns the delay before the next start, in seconds."""
        ran_s = self._clock.monotonic() - self._started if process else 0.0
        if process:
            self._note_process_exit(process, "")
        self.process = None
        decision = self.spec.restart.decide(failures=self.failures, ran_s=ran_s)
        self.failures = decision.failures
        self._next_try_at = iso(self._clock.now() + timedelta(seconds=decision.delay_s))
        match decision:
            case Again():
                self._move(ChildState.BACKING_OFF)
            case Slowly():
                self._move(ChildState.FAILED)
        return decision.delay_s

    async def _pause(self, delay_s: float) -> None:
        deadline = self._clock.monotonic() + delay_s
        while (
            self._desired is DesiredState.RUN
            and not self._is_hurried
            and (left := deadline - self._clock.monotonic()) > 0
        ):
            await self._wait_for_wake(left)
        if self._desired is not DesiredState.RUN:
            self._next_try_at = None
            self._move(ChildState.STOPPED)

    async def _wait_for_wake(self, within_s: float | None) -> None:
        """Return when the child ends, something is asked for, or the time is over."""
        if await wait_at_most(within_s, self._wake.wait()):
            self._wake.clear()

    def _note_process_exit(self, process: Process, asked: str) -> None:
        code = process.code
        if code is None:
            self._note_exit(code=None, number=None, why=f"{asked}; {_describe_unended(process.id)}")
        elif code < 0:
            self._note_exit(code=None, number=-code, why=asked or _why_killed(-code))
        else:
            self._note_exit(code=code, number=None, why=asked or f"ended by itself with exit code {code}")

    def _note_exit(self, *, code: int | None, number: int | None, why: str) -> None:
        name = signal_name(number) if number is not None else None
        self.last_exit = ExitRecord(code=code, signal=name, at=iso(self._clock.now()), why=why)

    def _move(self, new: ChildState) -> None:
        if new not in TRANSITIONS[self.state]:
            raise ValueError(f"{self.spec.name} cannot go from {self.state} to {new}")
        self.state = new
        self._changed(self)


def _describe_unended(process: ProcessId) -> str:
    return f"the kernel has not ended pid {process.pid}"


def signal_name(number: int) -> str:
    """`SIGKILL` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _why_killed(number: int) -> str:
    if number == signal.SIGKILL:
        return "killed by SIGKILL from outside: kill -9, or the kernel short of memory"
    return f"ended by {signal_name(number)}"
