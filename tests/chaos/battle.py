"""One seeded battle: the workload goes on, the nemesis hurts one thing after another, and the end is judged."""

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
from tests.chaos.harness import NAMESPACE, Harness, running_harness
from tests.chaos.invariants import Excuse, Judgement, everything, is_settled, judge
from tests.chaos.nemesis import BY_NAME
from tests.chaos.ways_out import WaysOut, take_ways_out
from tests.chaos.workload import Expect, Wanted
from tests.support.ids import STORE
from tests.support.machine_load import slack
from tests.support.polling import eventually

LOOK_S = 0.05
LOOK_LATER_S = 0.15
LOOK_LATER_AFTER_S = 1.0
"""Looking costs the server time that it needs for itself: what takes longer than this is looked at less often."""

DETECT_MAX_S = 8.0
FAULT_MAX_S = 60.0
RECOVER_MAX_S = 60.0
TOUCHED_S = 30.0
"""How long a request may be under way: a fault within this time is counted as one that it met."""

SETTLE_MAX_S = 120.0
START = "StartWorkflowExecution"
WORDS_MAX = 300
LISTS = ("List", "Count", "Scan")
STRAIN = "submits have been failing"


@dataclass
class Window:
    """One fault: when it began and when all was well again, and how long noticing and recovering took, in seconds.

    Noticing is counted from the first request after it hurt until health is worse than CONNECTED; recovering from its
    mending until Temporal is connected, nothing strains, and nothing is queued. `quiet` is the span, in seconds since
    1970, in which nothing may start.
    """

    fault: str
    from_s: float
    to_s: float = 0.0
    detected_s: float | None = None
    recovered_s: float | None = None
    quiet: tuple[float, float] | None = None


@dataclass
class Battle:
    """What happened, and the judgement. `broken` are promises that a fault itself could see broken."""

    seed: int
    windows: list[Window] = field(default_factory=list)
    log: Sequence[Wanted] = ()
    forgotten: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    judgement: Judgement = field(default_factory=Judgement)
    ways_out: WaysOut = field(default_factory=WaysOut)

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.judgement.is_clean and not self.broken and not self.ways_out.wrong

    def excuse(self, wanted: Wanted, lasted_s: float) -> Excuse:
        """What Temporal's loss of memory, and a runner's sleep, excuse about a request that ended after `lasted_s`."""
        lasted_s = _as_no_clock_was_set(lasted_s)
        overlapping = [
            BY_NAME[window.fault]
            for window in self.windows
            if wanted.sent_s <= window.to_s and window.from_s <= (wanted.acknowledged_s or wanted.sent_s) + lasted_s
        ]
        emptied = [window for window in self.windows if window.fault == "T7 emptied"]
        forgot = any(fault.forgets for fault in overlapping)
        is_forgotten = bool(wanted.ids & self.forgotten)
        return Excuse(
            unknown=forgot or is_forgotten or any(wanted.sent_s <= window.to_s for window in emptied),
            shown=forgot or is_forgotten,
            ended=is_forgotten,
            late=any(fault.sets_clock or fault.name == "R2 frozen" for fault in overlapping),
            again=forgot,
            poisoned=wanted.expect is Expect.ECHO and any(fault.name == "R4 poison" for fault in overlapping),
        )

    def wrong_in(self, fault: str) -> dict[str, int]:
        """How many requests are wrong that overlap with a fault of this name, by what is wrong."""
        mine = [window for window in self.windows if window.fault == fault]
        keys = {wanted.key for wanted in self.log for window in mine if overlap(wanted, window)}
        judgement = self.judgement
        return {
            "lost": len(keys & judgement.lost.keys()),
            "duplicated": len(keys & judgement.duplicated.keys()),
            "stuck": len(keys & judgement.stuck.keys()),
        }


def _as_no_clock_was_set(lasted_s: float) -> float:
    """What is left of a span between two moments of the server when its clock was set by an hour in between."""
    return lasted_s if math.isinf(lasted_s) else (lasted_s + HOUR_S / 2) % HOUR_S - HOUR_S / 2


def overlap(wanted: Wanted, window: Window) -> bool:
    """Whether the fault may have touched the request."""
    return wanted.sent_s <= window.to_s and window.from_s <= wanted.sent_s + TOUCHED_S


async def fight(
    folder: Path,
    *,
    seed: int,
    faults: Sequence[Fault],
    executions: int,
    told: Callable[[Window], None] = lambda _window: None,
) -> Battle:
    """Fight it out; the judgement is in the result. `told` hears of each window when it is over."""
    rng = random.Random(seed)
    battle = Battle(seed=seed)
    async with running_harness(folder, seed, executions=executions) as harness:
        battle.log, battle.forgotten = harness.workload.log, harness.forgotten
        async with asyncio.TaskGroup() as group:
            group.create_task(harness.workload.run(), name="workload")
            await asyncio.sleep(0)
            for number, fault in enumerate(faults, start=1):
                harness.workload.release(number / len(faults))
                await _suffer(harness, fault, battle, rng)
                told(battle.windows[-1])
            harness.workload.end()
        await _until_settled(harness.client)
        battle.judgement = await _judged(harness, battle)
        battle.ways_out = await take_ways_out(harness, battle.log)
        listed = {method: count for method, count in harness.proxy.calls.items() if method.startswith(LISTS)}
        if listed:
            battle.broken.append(f"T11: somebody asked Temporal for lists: {listed}")
    return battle


async def _suffer(harness: Harness, fault: Fault, battle: Battle, rng: random.Random) -> None:
    loop = asyncio.get_running_loop()
    window = Window(fault=fault.name, from_s=loop.time())
    battle.windows.append(window)
    begun = time.time()
    async with _told(battle, fault):
        await fault.hurt(harness, rng)
        await _endured(harness, fault, window, battle, rng)
    mended_s = loop.time()
    async with _told(battle, fault):
        await fault.mend(harness, rng)
    window.recovered_s = await _after(lambda: _is_well(harness.client), RECOVER_MAX_S, since_s=mended_s)
    window.to_s = loop.time()
    if window.recovered_s is None:
        battle.broken.append(f"{fault.name}: not well again within {RECOVER_MAX_S:g} s")
        await _helped(harness)
    if fault.moves_max is not None:
        moves = await _moves(harness.client, begun)
        if moves > fault.moves_max * slack():
            battle.broken.append(f"{fault.name}: the connection moved {moves} times, not {fault.moves_max} at most")
    await asyncio.sleep(rng.uniform(0, 0.2))


@asynccontextmanager
async def _told(battle: Battle, fault: Fault) -> AsyncIterator[None]:
    """What goes wrong inside, or takes too long, is a sentence of the battle, which goes on: it may be an hour old."""
    try:
        async with asyncio.timeout(FAULT_MAX_S):
            yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it makes the battle fail at its end
        battle.broken.append(f"{fault.name}: {type(error).__name__}: {str(error)[-WORDS_MAX:]}")


async def _endured(harness: Harness, fault: Fault, window: Window, battle: Battle, rng: random.Random) -> None:
    """Let it last until it shows, and as long as it is meant to."""
    loop = asyncio.get_running_loop()
    hurt_s = loop.time()
    if fault.shows is not Shows.NOTHING:
        harness.workload.request(1)
        window.detected_s = await _after(lambda: _shows(harness.client, fault.shows), DETECT_MAX_S, since_s=hurt_s)
        if window.detected_s is None:
            battle.broken.append(f"{fault.name}: not noticed within {DETECT_MAX_S:g} s")
    if (
        fault.shows is Shows.CUT_OFF
        and await _after(lambda: _is_lost(harness.client), DETECT_MAX_S, since_s=hurt_s) is None
    ):
        battle.broken.append(f"{fault.name}: suspected, and never given up")
    seen_at, starts = time.time(), harness.proxy.calls[START]
    await asyncio.sleep(max(0.0, hurt_s + rng.uniform(*fault.lasts_s) - loop.time()))
    if fault.is_quiet:
        window.quiet = (seen_at, time.time())
        if harness.proxy.calls[START] != starts:
            battle.broken.append(f"{fault.name}: {harness.proxy.calls[START] - starts} starts while nothing may start")


async def _after(look: Callable[[], Awaitable[bool]], within_s: float, *, since_s: float) -> float | None:
    """How long after `since_s` it was that `look` was true; None if it was not within that time from now."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while loop.time() < deadline:
        if await look():
            return loop.time() - since_s
        await asyncio.sleep(LOOK_S if loop.time() - since_s < LOOK_LATER_AFTER_S else LOOK_LATER_S)
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


async def _moves(client: Client, since: float) -> int:
    health = await _health(client)
    return 0 if health is None else sum(change.at.timestamp() >= since for change in health.temporal.history)


async def _helped(harness: Harness) -> None:
    """Start the server where it died by itself, so that the battle goes on."""
    process = harness.server.process
    if process is None or process.poll() is not None:
        harness.server.kill()
        await harness.server.start()


async def _until_settled(client: Client) -> None:
    async def settled() -> bool:
        with suppress(StigmerError):
            found = await everything(client, [Phase.PENDING, Phase.IN_PROGRESS])
            return all(is_settled(row) for row in found.values())
        return False

    with suppress(AssertionError):  # whatever still is not settled is for the judgement to say
        await eventually(settled, within_s=SETTLE_MAX_S)


async def _judged(harness: Harness, battle: Battle) -> Judgement:
    clock, rng = SystemClock(), random.Random(1)
    target = Target(address=harness.temporal.address, namespace=NAMESPACE)
    connection = Connection(target, clock=clock, rng=rng, identity="judge")
    quiet = [window.quiet for window in battle.windows if window.quiet is not None]
    async with asyncio.TaskGroup() as group:
        owner = group.create_task(connection.run())
        async with asyncio.timeout(RECOVER_MAX_S):
            await connection.wait_connected()
        gateway = Gateway(connection, store=STORE, clock=clock, rng=rng)
        judgement = await judge(battle.log, harness.client, gateway, harness.ledger, excuse=battle.excuse, quiet=quiet)
        owner.cancel()
    return judgement
