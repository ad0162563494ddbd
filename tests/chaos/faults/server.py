"""Faults of the server, S1 to S10: killed at each step of an execution, frozen, and given many reconciles at once."""

import asyncio
import random
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from stigmer_cli.api.reconcile import ReconcileRequest, ReconcileSummary
from stigmer_cli.errors import StigmerError
from tests.chaos.fault import Act, Fault
from tests.chaos.faults.network import clear_toxics_and_reset, toxic
from tests.chaos.harness import Harness
from tests.chaos.workload import SLOW
from tests.support.polling import eventually

AT_ONCE = 8
TRACED_MAX_S = 1.5
ATTACH_MAX_S = 30.0
LET_GO_MAX_S = 1.0
"""strace may hang on a thread that died together with its process; then it is killed."""


async def start(harness: Harness, _rng: random.Random) -> None:
    """Start it; its start counts as a part of the recovery."""
    harness.server.spawn()


async def _kill_before_commit(harness: Harness, rng: random.Random) -> None:
    """SIGKILL at one of the writes of a commit."""
    process = harness.server.process
    assert process is not None
    call = rng.choice(("pwrite64", "fdatasync"))
    async with _traced(process.pid, f"inject={call}:signal=KILL:when={rng.randint(1, 6)}"):
        harness.workload.request(6)
        for _ in range(int(TRACED_MAX_S / 0.02)):
            if process.poll() is not None:
                break
            await asyncio.sleep(0.02)
    harness.server.kill()


@asynccontextmanager
async def _traced(pid: int, what: str) -> AsyncIterator[None]:
    """Within the block, strace holds the process and does `what` to it."""
    strace = shutil.which("strace")
    assert strace, "S1 needs strace"
    argv = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64,fdatasync", "-e", what, "-p", str(pid)]
    tracer = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)

    async def is_attached() -> bool:
        status = await asyncio.to_thread(Path(f"/proc/{pid}/status").read_text)
        return "TracerPid:\t0" not in status or "State:\tZ" in status  # it may be dead of it already

    try:
        await eventually(is_attached, within_s=ATTACH_MAX_S, what="strace at the server")
        yield
    finally:
        with suppress(ProcessLookupError):
            tracer.terminate()
        try:
            async with asyncio.timeout(LET_GO_MAX_S):
                await tracer.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                tracer.kill()
            await tracer.wait()


async def _kill_while_it_answers(harness: Harness, rng: random.Random) -> None:
    harness.workload.request(AT_ONCE)
    await asyncio.sleep(rng.uniform(0.005, 0.06))
    harness.server.kill()


def _kill_while_silent(**direction: bool) -> Act:
    """Accepts requests; `is_silent_up`: no start leaves; `is_silent_down`: all arrive, and no answer comes back."""

    async def inject(harness: Harness, rng: random.Random) -> None:
        await toxic(**direction)(harness, rng)
        harness.workload.request(6)
        await asyncio.sleep(rng.uniform(0.1, 0.4))
        harness.server.kill()
        await clear_toxics_and_reset(harness, rng)

    return inject


async def _kill_while_runs_end(harness: Harness, rng: random.Random) -> None:
    harness.workload.request(4, SLOW)
    await asyncio.sleep(rng.uniform(0.2, 0.5))
    harness.server.kill()


def _send(number: signal.Signals) -> Act:
    async def send(harness: Harness, _rng: random.Random) -> None:
        if harness.server.process is not None:
            harness.server.process.send_signal(number)

    return send


async def run_reconcile(harness: Harness, *, is_dry_run: bool = False) -> ReconcileSummary | None:
    """One requested reconcile; None if another one holds the lease, or Temporal is away."""
    summary = None
    with suppress(StigmerError):
        async for told in harness.client.reconcile(ReconcileRequest(dry_run=is_dry_run, asked_by="chaos")):
            summary = told if isinstance(told, ReconcileSummary) else summary
    return summary


async def _reconcile_at_once(harness: Harness, _rng: random.Random) -> None:
    harness.workload.request(4)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run_reconcile(harness, is_dry_run=number % 4 == 0)) for number in range(AT_ONCE)]
    for told in (task.result() for task in tasks):
        if told is not None:
            parts = told.resubmitted + told.repaired + told.attention + told.skipped + told.failed
            assert told.examined == parts, f"the counts of a reconcile do not add up: {told}"


async def _break_off_reconcile(harness: Harness, rng: random.Random) -> None:
    """The client disconnects in the middle of a reconcile; in half of the cases the server is killed too."""
    harness.workload.request(4)
    with suppress(TimeoutError):
        async with asyncio.timeout(rng.uniform(0.001, 0.05)):
            await run_reconcile(harness)
    if rng.random() < 0.5:
        harness.server.kill()


async def _start_if_killed(harness: Harness, _rng: random.Random) -> None:
    if harness.server.process is None:
        harness.server.spawn()


SLOW_START = 0.6
"""The weight of a fault that restarts the server, which costs seconds of CPU time."""

SERVER: tuple[Fault, ...] = (
    Fault(
        name="S1 killed before commit", inject=_kill_before_commit, heal=start, lasts_s=(0.0, 0.2), weight=SLOW_START
    ),
    Fault(
        name="S2 killed while it answers",
        inject=_kill_while_it_answers,
        heal=start,
        lasts_s=(0.0, 0.2),
        weight=SLOW_START,
    ),
    Fault(
        name="S3 killed before the start",
        inject=_kill_while_silent(is_silent_up=True),
        heal=start,
        lasts_s=(0, 0.2),
        weight=SLOW_START,
    ),
    Fault(
        name="S4 killed before the mark",
        inject=_kill_while_silent(is_silent_down=True),
        heal=start,
        lasts_s=(0, 0.2),
        weight=SLOW_START,
    ),
    Fault(
        name="S5 away while runs end", inject=_kill_while_runs_end, heal=start, lasts_s=(1.0, 2.0), weight=SLOW_START
    ),
    Fault(name="S6 frozen", inject=_send(signal.SIGSTOP), heal=_send(signal.SIGCONT), lasts_s=(0.4, 1.2)),
    Fault(name="S9 reconciled by eight", inject=_reconcile_at_once, lasts_s=(0.0, 0.2)),
    Fault(name="S10 reconcile broken off", inject=_break_off_reconcile, heal=_start_if_killed, lasts_s=(0.0, 0.2)),
)
