"""Which processes of a stack are alive but make no progress: frozen, stuck in the kernel, or with a hung event loop."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from stigmer_cli.stack.parts import RUNNER
from stigmer_cli.supervisor.process import ProcessId, run_state
from stigmer_cli.supervisor.record import SupervisorRecord
from stigmer_cli.supervisor.sign_of_life import shows_life

FROZEN = "frozen by a signal (SIGSTOP)"
STATES: Mapping[str, str] = {
    "T": FROZEN,
    "t": "held by a debugger",
    "Z": "has ended, and its parent has not collected it yet (a zombie)",
}
UNINTERRUPTIBLE = "D"
IN_KERNEL = "stuck in the kernel, waiting for a disk or a network file system (state D)"
LOOKS, LOOK_EVERY_S = 12, 0.1
"""A process that reads or writes a disk is in state D now and then, and on a busy disk for half a second at a time; one
that is stuck is so every time. All looks end within `LOOP_MAX_S`.
"""

LOOP_MAX_S = 1.5
HUNG = "its event loop stands still"


async def find_stalled_processes(record: SupervisorRecord, folder: Path) -> dict[str, str]:
    """For each process that is alive but makes no progress, why; takes `LOOP_MAX_S`, longer on a busy machine."""
    running = {child.name: child.id for child in record.children if child.id}
    if not record.is_visible:  # their pids here belong to other processes; only the runner's socket works
        return {RUNNER: HUNG} if await _is_hung(running.get(RUNNER), folder) else {}
    found = {name: words for name, one in running.items() if (words := STATES.get(run_state(one.pid) or ""))}
    async with asyncio.TaskGroup() as group:
        stuck = {
            name: group.create_task(_is_stuck(one), name=f"state of {name}")
            for name, one in running.items()
            if name not in found
        }
        hung = group.create_task(_is_hung(running.get(RUNNER), folder), name="loop of the runner")
    found |= {name: IN_KERNEL for name, task in stuck.items() if task.result()}
    runner = running.get(RUNNER)
    if hung.result() and runner is not None:
        # It may have been stopped since its state was read: that is the more precise reason.
        found.setdefault(RUNNER, STATES.get(run_state(runner.pid) or "", HUNG))
    return found


async def _is_stuck(one: ProcessId) -> bool:
    for _ in range(LOOKS):
        if run_state(one.pid) != UNINTERRUPTIBLE:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return True


async def _is_hung(runner: ProcessId | None, folder: Path) -> bool:
    if runner is None or run_state(runner.pid) in STATES:
        return False
    return await shows_life(folder, RUNNER, runner.pid, within_s=LOOP_MAX_S) is False
