"""The set of children under one lock: all started, all watched, stopped in order; one supervisor a folder.

Children die with it: by the kernel on Linux (see process.py); elsewhere the next holder of the lock ends, by pid and
start mark, what the state file of the dead one lists.
"""

import asyncio
import itertools
import json
import signal
from collections.abc import Callable, Mapping, Sequence

from stigmer_cli.clock import Clock, ClockWatch, Jump, iso
from stigmer_cli.errors import reason_of
from stigmer_cli.supervisor.child import Child
from stigmer_cli.supervisor.control import Changes, ControlServer
from stigmer_cli.supervisor.liveness import LivenessWatch
from stigmer_cli.supervisor.lock import FileLock
from stigmer_cli.supervisor.logfile import LogFile
from stigmer_cli.supervisor.moved_folder import Move
from stigmer_cli.supervisor.process import IS_LINUX, ProcessId, Reaper, myself, pid_namespace
from stigmer_cli.supervisor.record import Json, SupervisorRecord, read_record, write_record
from stigmer_cli.supervisor.source_filter import FilterWatch
from stigmer_cli.supervisor.spec import SupervisorSpec, child_from_json

HOME_LOOK_EVERY_S = 5.0
SURVIVORS_MAX_S = 2.0
SURVIVORS_LOOK_EVERY_S = 0.01


class Supervisor:
    """Keeps the children of `spec` running until it is told to stop. The caller holds `lock` all the time."""

    def __init__(self, spec: SupervisorSpec, *, clock: Clock, lock: FileLock) -> None:
        self._spec, self._clock, self._lock = spec, clock, lock
        self._real_folder = spec.folder.resolve()
        self._id = myself()
        self._began, self._started_at = clock.monotonic(), iso(clock.now())
        self._changes = Changes()
        self._is_stopping = asyncio.Event()
        self._log = LogFile(spec.log, size_max=spec.log_size_max, files_max=spec.log_files_max)
        self._reaper = Reaper()
        self._children = tuple(self._child(number) for number in range(len(spec.children)))
        self._control = ControlServer(spec.folder, answer=self._answer, status=self._status_json, changes=self._changes)

    async def run(self, ready: Callable[[], None]) -> None:
        """Start all and keep them; returns when all have been stopped. Calls `ready` once the socket answers."""
        self._control.listen()
        await end_survivors(_recorded(self._spec), clock=self._clock)
        with self._reaper:
            self._listen_to_signals()
            self.journal("started", children=[child.spec.name for child in self._children])
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(self._control.run(), name="control")]
                loops += [group.create_task(self._keep_state_file(), name="state file")]
                loops += [group.create_task(self._watch_home(), name="home")]
                loops += [group.create_task(ClockWatch(self._clock, jumped=self._clock_jumped).run(), name="clock")]
                loops += [group.create_task(watch.run(), name="liveness") for watch in self._liveness()]
                loops += [group.create_task(watch.run(), name="source filter") for watch in self._filters()]
                lives = [group.create_task(child.run(), name=child.spec.name) for child in self._children]
                group.create_task(self._stop_when_asked(), name="stop")
                await asyncio.sleep(0)  # in which every child is started
                self._save()
                ready()
                await asyncio.wait(lives)
                self._save()
                for loop in loops:
                    loop.cancel()
        self.journal("ended")
        self._log.close()

    def stop(self) -> Json:
        """Stop all children in order, then end."""
        self._is_stopping.set()
        return {"ok": True}

    def kill(self) -> Json:
        """Stop all children without grace, then end."""
        self._is_stopping.set()
        return _each(self._children, Child.kill)

    def record(self) -> SupervisorRecord:
        """The supervisor and its children as they stand."""
        return SupervisorRecord(
            id=self._id,
            started_at=self._started_at,
            uptime_s=round(self._clock.monotonic() - self._began, 3),
            is_stopping=self._is_stopping.is_set(),
            children=tuple(child.record() for child in self._children),
            namespace=pid_namespace(),
        )

    def journal(self, event: str, **fields: object) -> None:
        """Write one line to the supervisor's own log."""
        line = {"part": "supervisor", "timestamp": iso(self._clock.now()), "level": "info", "event": event, **fields}
        self._log.write(json.dumps(line).encode() + b"\n")

    # -- requests

    def _answer(self, request: Json) -> Json:
        name = request.get("name")
        chosen = [child for child in self._children if name in (None, child.spec.name)]
        if not chosen:
            return {"ok": False, "error": f"there is no part {name}"}
        if "spec" in request:
            return self._begin_as(chosen[0], request)
        if request.get("op") == "environment":
            return _environment(chosen[0], request.get("variables"))
        answer = self._requests.get(str(request.get("op")))
        return answer(chosen) if answer else {"ok": False, "error": f"unknown request {request.get('op')!r}"}

    @property
    def _requests(self) -> Mapping[str, Callable[[Sequence[Child]], Json]]:
        return {
            "ping": lambda _: {"ok": True},
            "status": lambda _: self._status_json(),
            "stop": lambda _: self.stop(),
            "kill": lambda _: self.kill(),
            "start": lambda chosen: _each(chosen, Child.start),
            "restart": lambda chosen: _each(chosen, Child.restart),
            "lines": lambda chosen: {"ok": True, "lines": {child.spec.name: list(child.log.tail) for child in chosen}},
        }

    def _begin_as(self, child: Child, request: Json) -> Json:
        """Start or restart `child` as the spec in `request` says; the supervisor's log names what that changes."""
        try:
            spec = child_from_json(_object(request["spec"]))
        except (KeyError, TypeError, ValueError) as error:
            return {"ok": False, "error": f"not a spec: {error}"}
        if spec.name != child.spec.name:
            return {"ok": False, "error": f"a spec of {spec.name} is none for {child.spec.name}"}
        before, is_taken = child.next_spec.env, True
        if request.get("op") == "restart":
            child.restart(spec=spec)
        else:
            is_taken = child.start(spec)
        if is_taken:
            changed = sorted(name for name in {*before, *spec.env} if before.get(name) != spec.env.get(name))
            self.journal("child has a new spec", child=spec.name, changedVariables=changed)
        return {"ok": True, "taken": is_taken}

    def _status_json(self) -> Json:
        return {"ok": True, **self.record().to_json()}

    # -- loops

    async def _stop_when_asked(self) -> None:
        await self._is_stopping.wait()
        self.journal("stopping")
        self._changes.tell()
        by_order = sorted(self._children, key=lambda child: child.spec.stop_order)
        for _, together in itertools.groupby(by_order, key=lambda child: child.spec.stop_order):
            wave = list(together)
            _each(wave, Child.close)
            await self._wait_until_ended(wave)

    async def _wait_until_ended(self, wave: Sequence[Child]) -> None:
        """Return when none of them has a process; each ends within its grace and the time SIGKILL takes."""
        seen = self._changes.count
        while any(child.process for child in wave):
            seen = await self._changes.after(seen)

    async def _keep_state_file(self) -> None:
        seen = -1
        while True:
            seen = await self._changes.after(seen)
            self._save()

    async def _watch_home(self) -> None:
        """Follow a folder that is moved. Stop when it was removed: nobody could ever find these processes again."""
        while self._lock.is_in_place or self._follow_folder():
            await self._clock.sleep(HOME_LOOK_EVERY_S)
        self.journal("home is gone", lock=str(self._lock.path))
        self.stop()

    def _follow_folder(self) -> bool:
        """Start all children again where the folder is now; False where it is gone, or was set aside."""
        lock = self._lock.find_moved()
        if lock is None or lock.parent == self._real_folder:  # a link to it leads elsewhere now
            return False
        move = Move.between(self._spec.folder, lock.parent)
        if move is None:
            return False
        self._real_folder = lock.parent
        self._spec, self._lock.path = move.supervisor(self._spec), lock
        self._control.folder = self._spec.folder
        self._log.path = self._spec.log
        self.journal("home was moved", before=str(move.before), now=str(move.now))
        for child in self._children:
            spec = move.child(child.next_spec)
            child.log.path = spec.log
            child.restart("its folder was moved", spec=spec)
        return True

    def _clock_jumped(self, jump: Jump) -> None:
        """A child that waits to be started again has waited long enough: the machine slept, or its clock was set."""
        self.journal("clock jumped", **jump.facts())
        for child in self._children:
            child.hurry()

    def _save(self) -> None:
        try:
            write_record(self._spec.folder, self.record())
        except OSError as error:  # the socket still tells; the file is for when we are dead
            self.journal("state file not written", error=reason_of(error))

    # -- parts

    def _child(self, number: int) -> Child:
        spec = self._spec.children[number]
        log = LogFile(spec.log, size_max=self._spec.log_size_max, files_max=self._spec.log_files_max)
        return Child(spec, log=log, clock=self._clock, reaper=self._reaper, changed=self._child_changed)

    def _child_changed(self, child: Child) -> None:
        self._changes.tell()
        record = child.record()
        facts: dict[str, object] = {"child": record.name, "state": record.state}
        if record.id:
            facts["pid"] = record.id.pid
        if record.last_exit and not record.id:
            facts["exit"] = dict(record.last_exit.to_json())
        if record.next_try_at:
            facts["nextTryAt"] = record.next_try_at
        self.journal("child moved", **facts)

    def _liveness(self) -> list[LivenessWatch]:
        return [
            LivenessWatch(child, child.spec.liveness, clock=self._clock)
            for child in self._children
            if child.spec.liveness
        ]

    def _filters(self) -> list[FilterWatch]:
        return [
            FilterWatch(child, changes=self._changes, clock=self._clock, tell=self._filtered)
            for child in self._children
            if IS_LINUX
        ]

    def _filtered(self, name: str, pid: int, why_not: str) -> None:
        if why_not:
            self.journal("source filter not attached", child=name, pid=pid, error=why_not)
        else:
            self.journal("source filter attached", child=name, pid=pid)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._is_stopping.set)


async def end_survivors(recorded: Sequence[ProcessId], *, clock: Clock) -> list[ProcessId]:
    """Kill those recorded processes that still run, and no other; returns them once they are gone.

    The caller holds the lock of their supervisor, which is therefore dead. Those that the kernel cannot end within
    `SURVIVORS_MAX_S` are returned as well.
    """
    alive = [identity for identity in recorded if identity.kill_group()]
    deadline = clock.monotonic() + SURVIVORS_MAX_S
    while any(identity.is_alive for identity in alive) and clock.monotonic() < deadline:
        await clock.sleep(SURVIVORS_LOOK_EVERY_S)
    return alive


def _environment(child: Child, variables: object) -> Json:
    """Those of `variables` that the child is started with; whoever may ask could also read them from /proc."""
    env = child.next_spec.env
    wanted = [str(name) for name in variables] if isinstance(variables, list) else []
    return {"ok": True, "environment": {name: env[name] for name in wanted if name in env}}


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise TypeError(f"not an object: {value!r}")
    return value


def _recorded(spec: SupervisorSpec) -> list[ProcessId]:
    record = read_record(spec.folder)
    return [child.id for child in record.children if child.id] if record else []


def _each(children: Sequence[Child], wish: Callable[[Child], object]) -> Json:
    for child in children:
        wish(child)
    return {"ok": True}
