"""All repairs that are safe to do unasked; none ends a process, deletes data or decides what a person should."""

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stigmer_cli.doctor.blocking import in_thread
from stigmer_cli.doctor.fix import ACT_MAX_S, ActResult, Fix, done, failed, left
from stigmer_cli.doctor.probes import load_module, token_of
from stigmer_cli.doctor.text import count
from stigmer_cli.errors import Conflict, StigmerError
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import UP_LOCK
from stigmer_cli.stack.parts import RUNNER, SERVER, TEMPORAL
from stigmer_cli.stack.state import STATE_FILE
from stigmer_cli.supervisor.child import ChildState
from stigmer_cli.supervisor.control import Control, Unresponsive, connect
from stigmer_cli.supervisor.lock import FileLock
from stigmer_cli.supervisor.record import LOCK_FILE, SOCKET, ChildRecord, read_record
from stigmer_cli.supervisor.record import STATE_FILE as SUPERVISOR_FILE

if TYPE_CHECKING:
    from stigmer_cli.api.reconcile import ReconcileSummary
    from stigmer_cli.doctor.check import Judged
    from stigmer_cli.doctor.facts import Facts

OTHERS = stat.S_IRWXG | stat.S_IRWXO
PARTS = {"STG105": TEMPORAL, "STG106": SERVER, "STG107": RUNNER}
ANSWER_S = 2.0
STANDS_S = 1.0
"""A part that lived for so long did not fall over its own start."""

PROBE_EVERY_S = 0.1
SETTLES_S = 20.0
RECONCILE_MAX_S = 60.0


# -- modes


async def shut_home(facts: "Facts", _: "Judged") -> ActResult:
    """Nobody else may enter the folders of the home."""
    home = facts.settings.home
    return await in_thread(lambda: _shut([home.path, home.data, home.logs, home.run]))


async def shut_token(facts: "Facts", _: "Judged") -> ActResult:
    """Nobody else may read the token."""
    result = await in_thread(lambda: _shut([facts.settings.home.token_file]))
    if result != _NOTHING_TO_SHUT:
        return done(f"{result.message}; others may have read it before: stigmer config rotate-token makes a new one")
    return left("whether there is a token, and which, is yours to decide")


_NOTHING_TO_SHUT = left("its rights are not what is wrong")


def _shut(paths: Sequence[Path]) -> ActResult:
    """Take the others' rights off those of `paths` that are ours."""
    shut = []
    for path in paths:
        try:
            found = path.stat()
            if found.st_uid == os.geteuid() and found.st_mode & OTHERS:
                path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
                shut.append(f"{path} (was {stat.S_IMODE(found.st_mode):04o})")
        except FileNotFoundError:
            continue
    return done(f"took the rights of others off {', '.join(shut)}") if shut else _NOTHING_TO_SHUT


# -- what a dead supervisor left


async def clear_the_dead(facts: "Facts", _: "Judged") -> ActResult:
    """Remove the socket and the state files of a supervisor that is proven dead."""
    return await in_thread(lambda: _cleared(facts.settings.home))


def _cleared(home: Home) -> ActResult:
    """Under both locks: the kernel gives the supervisor's away only when it is dead, and no `up` comes between."""
    files = [home.run / name for name in (STATE_FILE, SUPERVISOR_FILE, SOCKET)]
    stale = [path for path in files if path.exists()]
    if not stale:
        return left("nothing of a dead supervisor lies about; starting a stack is yours to ask for")
    up_lock, lock = FileLock(home.run / UP_LOCK), FileLock(home.run / LOCK_FILE)
    try:
        if not up_lock.acquire():
            return left(f"a `stigmer up` or `down` (pid {up_lock.holder()}) is at work here")
        if not lock.acquire():
            return left(f"the supervisor lives (pid {lock.holder()}), and a process is never ended unasked")
        record = read_record(home.run)
        survivors = [child.id.pid for child in record.children if child.id and child.id.is_alive] if record else []
        if survivors:
            pids = ", ".join(map(str, survivors))
            return left(f"pid {pids} of the dead supervisor still run; `stigmer up` ends them and starts new ones")
        for path in (*stale, *home.run.glob("runner-*.json"), *home.run.glob("runner-*.sock")):
            path.unlink(missing_ok=True)
    finally:
        lock.release()
        up_lock.release()
    who = f"the supervisor (pid {record.id.pid})" if record else "a supervisor"
    return done(f"{who} had died; removed what it left: {', '.join(path.name for path in stale)}")


# -- parts


async def start_part(facts: "Facts", one: "Judged") -> ActResult:
    """Start a part that has no process, through its supervisor, and see that it stands."""
    name = PARTS[one.check.code]
    seen = await facts.supervisor()
    if seen.record is None or not seen.is_answering:
        return left("the supervisor, which would start it, does not answer")
    process = (await facts.processes()).get(name)
    if process is not None and process.is_alive:
        return left(f"it has a process (pid {process.pid}), and one that runs is never stopped or woken unasked")
    taken = [port for port in await facts.ports() if port.part == name and not (port.is_free or port.is_ours)]
    if taken:
        return left(f"it cannot start while port {taken[0].port} is held by {taken[0].owner}")
    try:
        return await _started(facts, name)
    except Unresponsive as error:
        return failed(error.message)


async def _started(facts: "Facts", name: str) -> ActResult:
    control = await connect(facts.settings.home.run, within_s=ANSWER_S)
    if control is None:
        return left("the supervisor, which would start it, is gone")
    async with control:
        answer = await control.ask("start", name)
        if not answer.get("ok"):
            return left(str(answer.get("error") or "the supervisor does not know it"))
        while not _is_decided(child := await _child(control, name)):
            await facts.clock.sleep(PROBE_EVERY_S)
    if child.failures:
        why = child.last_exit.why if child.last_exit else "no reason known"
        return failed(f"started {name}, and it ended again: {why}")
    return done(f"started {name} (pid {child.id.pid if child.id else '?'})")


async def _child(control: Control, name: str) -> ChildRecord:
    child = (await control.status()).child(name)
    if child is None:
        raise Unresponsive(f"the supervisor has no {name} any more")
    return child


def _is_decided(child: ChildRecord) -> bool:
    """Whether it stands, or fell: `start` forgot all failures of before."""
    stands = child.state == ChildState.RUNNING and (child.uptime_s or 0.0) >= STANDS_S
    return stands or child.failures > 0


# -- orphans


async def bring_back(facts: "Facts", _: "Judged") -> ActResult:
    """Have the server reconcile; what was lost in progress is marked at the most, and never started over."""
    await load_module("stigmer_cli.client")
    from stigmer_cli.api.reconcile import (  # noqa: PLC0415 - loaded just now
        ReconcileProgress,
        ReconcileRequest,
        ReconcileSummary,
    )
    from stigmer_cli.client import Client  # noqa: PLC0415

    token, summary, progress = token_of(facts.settings), ReconcileSummary(), ReconcileProgress(examined=0, total=0)
    request = ReconcileRequest(asked_by=f"stigmer doctor --fix (pid {os.getpid()})")
    url, ca_file = (await facts.server()).url, facts.settings.server_ca_file
    try:
        is_told = facts.settings.is_insecure_allowed
        client = Client(url, lambda: token, ca_file=ca_file, is_insecure_allowed=is_told)
        async with asyncio.timeout(RECONCILE_MAX_S), client:
            async for found in client.reconcile(request):
                summary = found if isinstance(found, ReconcileSummary) else summary
                progress = found if isinstance(found, ReconcileProgress) else progress
    except TimeoutError:
        so_far = f"{progress.examined} of {count(progress.total, 'execution')} in {RECONCILE_MAX_S:g} s"
        return failed(f"{so_far}; `stigmer executions reconcile --yes` goes on with the rest")
    except Conflict as error:
        return left(error.message)
    except StigmerError as error:
        return failed(error.message)
    return _told(summary)


def _told(summary: "ReconcileSummary") -> ActResult:
    words = [
        f"{number} {what}"
        for number, what in (
            (summary.resubmitted, "submitted again"),
            (summary.repaired, "brought up to date with Temporal"),
            (summary.attention, "marked for you to decide about"),
            (summary.failed, "failed"),
        )
        if number
    ]
    if not words:
        return left("reconcile finds nothing to bring back any more")
    message = f"of {count(summary.examined, 'execution')}: {', '.join(words)}"
    return failed(message) if summary.failed else done(message)


FIXES: tuple[Fix, ...] = (
    Fix(codes=frozenset({"STG101"}), action="take the rights of others off the folders of the home", act=shut_home),
    Fix(codes=frozenset({"STG504"}), action="let nobody else read the token file", act=shut_token),
    Fix(
        codes=frozenset({"STG104"}),
        action="remove the socket and the state files that a dead supervisor left behind",
        act=clear_the_dead,
    ),
    Fix(
        codes=frozenset(PARTS),
        action="start the part again through its supervisor",
        act=start_part,
        settles_s=SETTLES_S,
    ),
    Fix(
        codes=frozenset({"STG402", "STG406"}),
        action="bring orphans back, and rows behind up to date, as `stigmer executions reconcile --yes` does",
        act=bring_back,
        act_max_s=RECONCILE_MAX_S + ACT_MAX_S,
    ),
)
