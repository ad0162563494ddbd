"""Checks of category Stack about the processes of its three parts: alive, awake, listening, not in a crash loop."""

from stigmer_cli.clock import is_older
from stigmer_cli.doctor.check import BUSY_S, Found, Scope, because, check, failed, passed, skipped, warned
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.facts.pid_visibility import ELSEWHERE, is_out_of_sight
from stigmer_cli.doctor.repairs.parts import START_PART
from stigmer_cli.doctor.text import clock_time, count, without_named_binary
from stigmer_cli.errors import StigmerError
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.stack.failure import FailedPart, is_program_gone, is_temporal_damaged, start_failed
from stigmer_cli.stack.gone_programs import WAY_OUT
from stigmer_cli.stack.parts import RUNNER, SERVER, SUPERVISOR, TEMPORAL
from stigmer_cli.stack.readiness import parse_time
from stigmer_cli.stack.standstill import FROZEN, IN_KERNEL
from stigmer_cli.supervisor.child import ChildState
from stigmer_cli.supervisor.record import ChildRecord
from stigmer_cli.time_format import span

SUPERVISED = "STG104"
SETTLING_S = 5.0
"""How long a part that just started may take until it listens."""

RECENT_S = 300.0
EXECUTIONS_S = 0.8
REPEATED = 2
LOOPING = 3
"""From so many quick ends in a row on it is a crash loop."""


@check(
    "STG105", "temporal process", timeout_s=BUSY_S, scope=Scope.MACHINE, settles=True, part=TEMPORAL, repair=START_PART
)
async def temporal_process(facts: Facts) -> Found:
    """The stack runs a Temporal of its own unless STIGMER_TEMPORAL_ADDRESS names another.

    It keeps its workflows in a file, so a restart loses nothing; while it is away, executions are accepted and wait.
    After five ends in a row it is tried every 30 s; its log says why.
    """
    if not facts.owns_temporal:
        return skipped(f"somebody else runs the Temporal at {facts.address}")
    return await _judge_part(facts, TEMPORAL)


@check("STG106", "server process", timeout_s=BUSY_S, scope=Scope.MACHINE, settles=True, part=SERVER, repair=START_PART)
async def server_process(facts: Facts) -> Found:
    """The server accepts executions, keeps them in the store and submits them to Temporal.

    While it is away nothing is accepted, and runners hold their reports back until it is there again.
    """
    return await _judge_part(facts, SERVER)


@check("STG107", "runner process", timeout_s=BUSY_S, scope=Scope.MACHINE, settles=True, part=RUNNER, repair=START_PART)
async def runner_process(facts: Facts) -> Found:
    """The runner performs executions.

    While it is away they wait in Temporal; the next runner takes up again what this one was performing.
    """
    return await _judge_part(facts, RUNNER)


@check("STG119", "standstill", needs=(SUPERVISED,), timeout_s=BUSY_S, scope=Scope.MACHINE)
async def standstill(facts: Facts) -> Found:
    """A process may be there and do nothing.

    The runner answers on a socket in the home (run/runner-PID.sock) from its event loop: where that hangs, nobody
    answers, although Temporal lists the runner for more than a minute. A part in state D waits in the kernel for a disk
    or a network file system that does not answer; no signal ends it. A part that is frozen by a signal is reported
    under its own code.
    """
    probe = await facts.supervisor()
    if not probe.is_answering or probe.record is None:
        return skipped("no supervisor says which processes there are")
    still = {name: how for name, how in probe.still.items() if how != FROZEN}
    for name, how in still.items():
        child = probe.record.child(name)
        pid = child.id.pid if child and child.id else 0
        # Not even SIGKILL ends a process that is stuck in the kernel.
        hint = f"cat /proc/{pid}/wchan; df -h" if how == IN_KERNEL else f"stigmer restart {name}"
        return failed(f"{name} (pid {pid}) is alive, but {how}", hint, still=still)
    return passed("no part stands still")


async def _judge_part(facts: Facts, name: str) -> Found:
    seen = await facts.supervisor()
    if not seen.is_there and not await _is_supervisor_alive(facts):
        is_manual = facts.endpoints is None and (await facts.server()).health is not None
        return skipped("no stack runs here") if is_manual else because(SUPERVISED)
    child = seen.record.child(name) if seen.record else None
    if child is None:
        return failed(f"this stack has no {name}", "stigmer restart")
    return await _judge_child(facts, child)


async def _is_supervisor_alive(facts: Facts) -> bool:
    process = (await facts.processes()).get(SUPERVISOR)
    return process is not None and process.is_alive


async def _judge_child(facts: Facts, child: ChildRecord) -> Found:
    seen = await facts.supervisor()
    if child.id is not None and is_out_of_sight(seen):
        return passed(f"running (pid {child.id.pid} {ELSEWHERE}), as its supervisor says", **_evidence(child))
    process = (await facts.processes()).get(child.name)
    if child.id is None or process is None:
        return await _judge_ended(facts, child)
    if not process.is_alive:
        return _judge_dead(child, process.pid, is_supervised=seen.is_answering)
    evidence = _evidence(child)
    if process.is_frozen:
        message = f"{child.name} (pid {process.pid}) is frozen by a signal (SIGSTOP)"
        return failed(message, f"kill -CONT {process.pid}", **evidence)
    if child.name in seen.parts_missing_ports and (child.uptime_s or 0.0) > SETTLING_S:
        port = seen.parts_missing_ports[child.name]
        message = f"{child.name} (pid {process.pid}) runs, but does not listen on port {port}"
        return failed(message, f"stigmer restart {child.name}", **evidence)
    return _judge_running(facts, child, evidence)


def _judge_running(facts: Facts, child: ChildRecord, evidence: dict[str, object]) -> Found:
    last, pid = child.last_exit, child.id.pid if child.id else 0
    if last is None or child.restarts == 0:
        return passed(f"running (pid {pid})", **evidence)
    times = count(child.restarts, "time")
    words = f"running (pid {pid}), restarted {times}; ended last at {clock_time(last.at)}: {last.why}"
    is_recent = not is_older(parse_time(last.at), facts.clock.now(), than_s=RECENT_S)
    if is_recent and child.state == ChildState.RUNNING and child.failures:
        return warned(f"{child.name} is {words}", f"stigmer logs {child.name} --tail 20", **evidence)
    return passed(words, **evidence)


def _judge_dead(child: ChildRecord, pid: int, *, is_supervised: bool) -> Found:
    """A process that is gone although the record says that it runs."""
    if is_supervised:
        message = f"{child.name} (pid {pid}) has just died"
        return failed(message, "stigmer up", **_evidence(child))
    message = f"{child.name} (pid {pid}) is dead, and the supervisor, which would restart it, does not answer"
    return failed(message, "stigmer down && stigmer up", **_evidence(child))


async def _judge_ended(facts: Facts, child: ChildRecord) -> Found:
    """A part without a process, as its supervisor says."""
    lines = await facts.lines(child.name)
    evidence = {**_evidence(child), "lastLines": list(lines)}
    why = child.last_exit.why if child.last_exit else "it never ran"
    if is_program_gone(child) and not _is_named_binary(facts, child):
        return failed(f"{child.name} does not run: {why}", WAY_OUT, **evidence)
    if child.state == ChildState.FAILED or child.failures >= LOOPING:
        return await _judge_loop(facts, child, lines, evidence)
    if child.state == ChildState.BACKING_OFF:
        return failed(f"{child.name} ended and is about to be restarted: {why}", "stigmer up", **evidence)
    if child.state == ChildState.STOPPED:
        return failed(f"{child.name} is stopped: {why}", "stigmer up", **evidence)
    return failed(f"{child.name} is {child.state}: {why}", "stigmer up", **evidence)


async def _judge_loop(facts: Facts, child: ChildRecord, lines: tuple[str, ...], evidence: dict[str, object]) -> Found:
    if facts.endpoints is None:
        why = child.last_exit.why if child.last_exit else "no reason known"
        return failed(f"{child.name} ends again and again: {why}", f"stigmer logs {child.name} --tail 20", **evidence)
    told = start_failed(FailedPart(child=child, lines=lines, endpoints=facts.endpoints, home=facts.settings.home))
    last = f"; its last line: {lines[-1]}" if lines else ""
    message = f"{told.message} ({child.failures} times in a row){last}"
    if is_temporal_damaged(child, lines):
        return failed(told.message, told.hint, **evidence)
    if _is_named_binary(facts, child):
        return failed(message, f"{without_named_binary(facts)} && stigmer restart", **evidence)
    poison = await _find_poison(facts) if child.name == RUNNER else ""
    if poison:
        words = f"{message}; each time it performed {poison}"
        return failed(words, f"stigmer executions cancel {poison} && stigmer up", **evidence, performed=poison)
    return failed(message, f"stigmer logs {child.name} --tail 20", **evidence)


def _is_named_binary(facts: Facts, child: ChildRecord) -> bool:
    return child.name == TEMPORAL and facts.settings.temporal_binary is not None


async def _find_poison(facts: Facts) -> str:
    """The id of the execution with the most attempts; empty where none has two, or executions cannot be read."""
    try:
        async with FairTimeout(EXECUTIONS_S):
            seen = await facts.executions()
    except (TimeoutError, StigmerError):
        return ""
    tried = [row for row in seen.open if row.status.attempt >= REPEATED]
    return max(tried, key=lambda row: row.status.attempt).metadata.id if tried else ""


def _evidence(child: ChildRecord) -> dict[str, object]:
    return {
        "state": child.state,
        "pid": child.id.pid if child.id else None,
        "uptime": span(int(child.uptime_s)) if child.uptime_s is not None else None,
        "restarts": child.restarts,
        "failures": child.failures,
        "lastExit": dict(child.last_exit.to_json()) if child.last_exit else None,
        "nextTryAt": child.next_try_at,
        "log": child.log,
    }
