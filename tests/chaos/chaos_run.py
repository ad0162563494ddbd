"""One seeded chaos run: under a workload, the nemesis injects one fault after another; then the result is judged."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from stigmer_cli.api.health import Health
from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import StigmerError
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.gateway import Gateway
from tests.chaos.fault import Fault, Shows
from tests.chaos.faults.clock import HOUR_S
from tests.chaos.faults.tools import find_tool_servers
from tests.chaos.harness import NAMESPACE, Harness, running_harness
from tests.chaos.invariants import Excuse, Judgement, is_settled, judge, list_rows
from tests.chaos.nemesis import BY_NAME
from tests.chaos.ways_out import WaysOut, take_ways_out
from tests.chaos.workload import TOOLS_SHARE, WorkloadRequest
from tests.support.ids import STORE
from tests.support.machine_load import slack
from tests.support.polling import eventually

POLL_S = 0.05
POLL_LATER_S = 0.15
POLL_LATER_AFTER_S = 1.0
"""Polling costs the server time of its own: a wait that is longer than this is polled less often."""

DETECT_MAX_S = 8.0
FAULT_MAX_S = 180.0
RECOVER_MAX_S = 60.0
TOUCHED_S = 30.0
"""How long a request may be in flight: a fault within this time may have affected it."""

SETTLE_MAX_S = 120.0
START = "StartWorkflowExecution"
TEXT_MAX = 300
LISTS = ("List", "Count", "Scan")
STRAIN = "submits have been failing"
EMPTIED = ("T7 emptied", "J4 emptied amid calls")


@dataclass
class Window:
    """One fault: when it began, when the stack had recovered, and how long detection and recovery took, in seconds.

    Detection is measured from the end of the injection until health is worse than CONNECTED; recovery from the end of
    the fault until Temporal is connected, submits work, and the queue is empty. `quiet` is the span, in seconds since
    1970, in which no workflow may be started.
    """

    fault: str
    from_s: float
    to_s: float = 0.0
    detected_s: float | None = None
    recovered_s: float | None = None
    quiet: tuple[float, float] | None = None


@dataclass
class ChaosRun:
    """What happened, and the judgement. `broken` are promises that were seen broken during a fault."""

    seed: int
    windows: list[Window] = field(default_factory=list)
    log: Sequence[WorkloadRequest] = ()
    forgotten: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    judgement: Judgement = field(default_factory=Judgement)
    ways_out: WaysOut = field(default_factory=WaysOut)

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.judgement.is_clean and not self.broken and not self.ways_out.wrong

    def excuse(self, wanted: WorkloadRequest, lasted_s: float) -> Excuse:
        """What the faults excuse about a request that ended `lasted_s` after it was accepted."""
        lasted_s = _as_no_clock_was_set(lasted_s)
        overlapping = [
            BY_NAME[window.fault]
            for window in self.windows
            if wanted.sent_s <= window.to_s and window.from_s <= (wanted.acknowledged_s or wanted.sent_s) + lasted_s
        ]
        emptied = [window for window in self.windows if window.fault in EMPTIED]
        forgot = any(fault.forgets for fault in overlapping)
        is_forgotten = bool(wanted.ids & self.forgotten)
        return Excuse(
            unknown=forgot or is_forgotten or any(wanted.sent_s <= window.to_s for window in emptied),
            shown=forgot or is_forgotten,
            ended=is_forgotten,
            late=any(fault.sets_clock or fault.name == "R2 frozen" for fault in overlapping),
            again=forgot,
        )

    def wrong_in(self, fault: str) -> dict[str, int]:
        """The number of wrong requests that overlap with a fault of this name, by what is wrong."""
        mine = [window for window in self.windows if window.fault == fault]
        keys = {wanted.key for wanted in self.log for window in mine if overlap(wanted, window)}
        judgement = self.judgement
        return {
            "lost": len(keys & judgement.lost.keys()),
            "duplicated": len(keys & judgement.duplicated.keys()),
            "stuck": len(keys & judgement.stuck.keys()),
        }


def _as_no_clock_was_set(lasted_s: float) -> float:
    """A span between two times of the server, without the hour by which its clock may have been set in between."""
    return lasted_s if math.isinf(lasted_s) else (lasted_s + HOUR_S / 2) % HOUR_S - HOUR_S / 2


def overlap(wanted: WorkloadRequest, window: Window) -> bool:
    """Whether the fault may have affected the request."""
    return wanted.sent_s <= window.to_s and window.from_s <= wanted.sent_s + TOUCHED_S


async def run_chaos(
    folder: Path,
    *,
    seed: int,
    faults: Sequence[Fault],
    executions: int,
    tools_share: float = TOOLS_SHARE,
    workflows_share: float = 0.0,
    on_window: Callable[[Window], None] = lambda _window: None,
) -> ChaosRun:
    """Inject `faults` under a workload of `executions`, and judge the end. `on_window` is called after each fault.

    `workflows_share` of the executions are of workflows, and `tools_share` of the rest of agents that use tools.
    """
    rng = random.Random(seed)
    run = ChaosRun(seed=seed)
    async with running_harness(
        folder, seed, executions=executions, tools_share=tools_share, workflows_share=workflows_share
    ) as harness:
        run.log, run.forgotten = harness.workload.log, harness.forgotten
        async with asyncio.TaskGroup() as group:
            group.create_task(harness.workload.run(), name="workload")
            await asyncio.sleep(0)
            for number, fault in enumerate(faults, start=1):
                harness.workload.release(number / len(faults))
                await _apply_fault(harness, fault, run, rng)
                on_window(run.windows[-1])
            harness.workload.end()
        await _wait_settled(harness.client)
        run.judgement = await _judge_run(harness, run)
        run.ways_out = await take_ways_out(harness, run.log)
        run.broken += [f"a decision: {words}" for words in harness.decider.wrong]
        run.broken += [f"R6: a tool server was left behind: {left}" for left in find_tool_servers(harness)]
        listed = {method: count for method, count in harness.proxy.calls.items() if method.startswith(LISTS)}
        if listed:
            run.broken.append(f"T11: somebody asked Temporal for lists: {listed}")
    return run


async def _apply_fault(harness: Harness, fault: Fault, run: ChaosRun, rng: random.Random) -> None:
    loop = asyncio.get_running_loop()
    window = Window(fault=fault.name, from_s=loop.time())
    run.windows.append(window)
    begun = time.time()
    async with _record_errors(run, fault):
        await fault.inject(harness, rng)
        await _hold_fault(harness, fault, window, run, rng)
    healed_s = loop.time()
    async with _record_errors(run, fault):
        await fault.heal(harness, rng)
    window.recovered_s = await _seconds_until(lambda: _is_well(harness.client), RECOVER_MAX_S, since_s=healed_s)
    window.to_s = loop.time()
    if window.recovered_s is None:
        run.broken.append(f"{fault.name}: not well again within {RECOVER_MAX_S:g} s")
        await _restart_dead_server(harness)
    if fault.moves_max is not None:
        moves = await _count_moves(harness.client, begun)
        if moves > fault.moves_max * slack():
            run.broken.append(f"{fault.name}: the connection moved {moves} times, not {fault.moves_max} at most")
    await asyncio.sleep(rng.uniform(0, 0.2))


@asynccontextmanager
async def _record_errors(run: ChaosRun, fault: Fault) -> AsyncIterator[None]:
    """Record what fails or takes too long in the block as broken; the chaos run, which may take hours, continues."""
    try:
        async with asyncio.timeout(FAULT_MAX_S):
            yield
    except Exception as error:  # noqa: BLE001 - any error fails the chaos run at its end
        run.broken.append(f"{fault.name}: {type(error).__name__}: {str(error)[-TEXT_MAX:]}")


async def _hold_fault(harness: Harness, fault: Fault, window: Window, run: ChaosRun, rng: random.Random) -> None:
    """Return when health has shown the fault, and the fault has lasted as long as planned."""
    loop = asyncio.get_running_loop()
    injected_s = loop.time()
    if fault.shows is not Shows.NOTHING:
        harness.workload.request(1)
        window.detected_s = await _seconds_until(
            lambda: _shows(harness.client, fault.shows), DETECT_MAX_S * slack(), since_s=injected_s
        )
        if window.detected_s is None:
            run.broken.append(f"{fault.name}: not noticed within {DETECT_MAX_S:g} s")
    if (
        fault.shows is Shows.CUT_OFF
        and await _seconds_until(lambda: _is_lost(harness.client), DETECT_MAX_S * slack(), since_s=injected_s) is None
    ):
        run.broken.append(f"{fault.name}: suspected, and never given up")
    seen_at, starts = time.time(), harness.proxy.calls[START]
    await asyncio.sleep(max(0.0, injected_s + rng.uniform(*fault.lasts_s) - loop.time()))
    if fault.is_quiet:
        window.quiet = (seen_at, time.time())
        if harness.proxy.calls[START] != starts:
            run.broken.append(f"{fault.name}: {harness.proxy.calls[START] - starts} starts while nothing may start")


async def _seconds_until(look: Callable[[], Awaitable[bool]], within_s: float, *, since_s: float) -> float | None:
    """Seconds from `since_s` until `look` was true; None if it was not true within `within_s` from now."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while loop.time() < deadline:
        if await look():
            return loop.time() - since_s
        await asyncio.sleep(POLL_S if loop.time() - since_s < POLL_LATER_AFTER_S else POLL_LATER_S)
    return None


async def _health(client: Client) -> Health | None:
    with suppress(StigmerError):
        return await client.health()
    return None


async def _shows(client: Client, shows: Shows) -> bool:
    health = await _health(client)
    if health is None:
        return False
    if shows is Shows.STRAINED:
        return any(STRAIN in reason for reason in health.reasons)
    return health.temporal.state != "CONNECTED" and bool(health.reasons)


async def _is_lost(client: Client) -> bool:
    health = await _health(client)
    return health is not None and health.temporal.state in ("DISCONNECTED", "MISCONFIGURED")


async def _is_well(client: Client) -> bool:
    health = await _health(client)
    return (
        health is not None
        and health.temporal.state == "CONNECTED"
        and not any(STRAIN in reason for reason in health.reasons)
        and health.executions.queued == 0
    )


async def _count_moves(client: Client, since: float) -> int:
    health = await _health(client)
    return 0 if health is None else sum(change.at.timestamp() >= since for change in health.temporal.history)


async def _restart_dead_server(harness: Harness) -> None:
    """Start the server again if it died by itself, so that the chaos run can continue."""
    process = harness.server.process
    if process is None or process.poll() is not None:
        harness.server.kill()
        await harness.server.start()


async def _wait_settled(client: Client) -> None:
    async def settled() -> bool:
        with suppress(StigmerError):
            found = await list_rows(client, [Phase.PENDING, Phase.IN_PROGRESS])
            return all(is_settled(row) for row in found.values())
        return False

    with suppress(AssertionError):  # the judgement names what is not settled
        await eventually(settled, within_s=SETTLE_MAX_S)


async def _judge_run(harness: Harness, run: ChaosRun) -> Judgement:
    clock, rng = SystemClock(), random.Random(1)
    target = Target(address=harness.temporal.address, namespace=NAMESPACE)
    connection = Connection(target, clock=clock, rng=rng, identity="judge")
    quiet = [window.quiet for window in run.windows if window.quiet is not None]
    async with asyncio.TaskGroup() as group:
        owner = group.create_task(connection.run())
        async with asyncio.timeout(RECOVER_MAX_S):
            await connection.wait_connected()
        gateway = Gateway(connection, store=STORE, clock=clock, rng=rng)
        sources = (harness.client, gateway, harness.ledgers, harness.decider)
        judgement = await judge(run.log, *sources, excuse=run.excuse, quiet=quiet)
        owner.cancel()
    return judgement
