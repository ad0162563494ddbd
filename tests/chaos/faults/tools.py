"""Faults in the middle of calls of tools, J1 to J5: a tool server, a runner or Temporal goes meanwhile."""

import asyncio
import random
import signal
from contextlib import suppress

import psutil

from tests.chaos.fault import RARE, Fault, Shows
from tests.chaos.faults.runner import start_all
from tests.chaos.faults.temporal import kill, start_empty
from tests.chaos.harness import Harness
from tests.chaos.tool_agents import COURIER, DAWDLER, SERVER

AT_ONCE = 2
COMMANDS = 1
UNDER_WAY_MAX_S = 1.5
LOOK_S = 0.02


async def _amid_calls(harness: Harness, rng: random.Random, agent: str, count: int) -> None:
    """Send requests, and return a moment after another call has reached a tool, if one does in time."""
    ledger = harness.ledgers.tools
    before = ledger.stat().st_size if ledger.exists() else 0
    harness.workload.request(count, agent)
    for _ in range(int(UNDER_WAY_MAX_S / LOOK_S)):
        if ledger.exists() and ledger.stat().st_size > before:
            break
        await asyncio.sleep(LOOK_S)
    await asyncio.sleep(rng.uniform(0.0, 0.4))


async def _kill_tool_server(harness: Harness, rng: random.Random) -> None:
    await _amid_calls(harness, rng, DAWDLER.name, AT_ONCE)
    harness.tools.kill()


async def _start_tool_server(harness: Harness, _rng: random.Random) -> None:
    harness.tools.start()


async def _freeze_tool_server(harness: Harness, rng: random.Random) -> None:
    await _amid_calls(harness, rng, DAWDLER.name, AT_ONCE)
    harness.tools.signal(signal.SIGSTOP)


async def _thaw_tool_server(harness: Harness, _rng: random.Random) -> None:
    harness.tools.signal(signal.SIGCONT)


async def _kill_runner(harness: Harness, rng: random.Random) -> None:
    await _amid_calls(harness, rng, DAWDLER.name, AT_ONCE)
    rng.choice(harness.runners).kill()


async def _kill_temporal(harness: Harness, rng: random.Random) -> None:
    await _amid_calls(harness, rng, DAWDLER.name, AT_ONCE)
    await kill(harness, rng)


async def _kill_commands(harness: Harness, rng: random.Random) -> None:
    """Kill the tool servers that are children of the runners."""
    await _amid_calls(harness, rng, COURIER.name, COMMANDS)
    for process in find_tool_servers(harness):
        with suppress(psutil.Error):
            process.kill()


def find_tool_servers(harness: Harness) -> list[psutil.Process]:
    """The tool servers that the runners have started for this run, and that still run."""
    own = [str(SERVER), str(harness.ledgers.tools)]
    return [process for process in psutil.process_iter() if _command(process)[-2:] == own]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


TOOLS: tuple[Fault, ...] = (
    Fault(name="J1 tool server killed", inject=_kill_tool_server, heal=_start_tool_server),
    Fault(name="J2 tool server frozen", inject=_freeze_tool_server, heal=_thaw_tool_server),
    Fault(name="J3 runner killed amid calls", inject=_kill_runner, heal=start_all),
    Fault(name="J4 emptied amid calls", inject=_kill_temporal, heal=start_empty, shows=Shows.CUT_OFF, forgets=True),
    Fault(name="J5 tool processes killed", inject=_kill_commands, weight=RARE),
)
