"""One seeded battle: the workload goes on, the nemesis hurts one thing after another, and the end is judged."""

import asyncio
import random
import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import StigmerError
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.gateway import Gateway
from tests.chaos.invariants import Excuse, Judgement, everything, is_settled, judge
from tests.chaos.nemesis import EMPTIED, FAULTS, Fault
from tests.chaos.stage import Stage, stage
from tests.chaos.workload import Wanted, Workload
from tests.eventually import eventually

LOOK_S = 0.02
DETECT_MAX_S = 8.0
RECOVER_MAX_S = 30.0
SETTLE_MAX_S = 120.0


@dataclass
class Window:
    """One fault: when it began and when all was well again, and how long noticing and recovering took, in seconds."""

    fault: str
    from_s: float
    to_s: float = 0.0
    detected_s: float | None = None
    recovered_s: float | None = None


@dataclass
class Battle:
    """What happened, and the judgement."""

    seed: int
    windows: Sequence[Window]
    log: Sequence[Wanted]
    judgement: Judgement = field(default_factory=Judgement)

    def excuse(self, wanted: Wanted) -> Excuse:
        """What each emptying of Temporal excuses: its past is gone, and what was under way may need a person."""
        emptied = [window for window in self.windows if window.fault == EMPTIED]
        return Excuse(
            unknown=any(wanted.sent_s <= window.to_s for window in emptied),
            shown=any(_overlap(wanted, window) for window in emptied),
        )

    def table(self) -> list[dict[str, object]]:
        """One row a kind of fault; what is wrong is counted where the fault and the execution overlap."""
        rows: list[dict[str, object]] = []
        for name in sorted({window.fault for window in self.windows}):
            mine = [window for window in self.windows if window.fault == name]
            keys = {wanted.key for wanted in self.log for window in mine if _overlap(wanted, window)}
            rows.append(
                {
                    "fault": name,
                    "count": len(mine),
                    "lost": len(keys & self.judgement.lost.keys()),
                    "duplicated": len(keys & self.judgement.duplicated.keys()),
                    "stuck": len(keys & self.judgement.stuck.keys()),
                    **_percentiles("detection", [window.detected_s for window in mine]),
                    **_percentiles("recovery", [window.recovered_s for window in mine]),
                }
            )
        return rows


def _overlap(wanted: Wanted, window: Window) -> bool:
    return wanted.sent_s <= window.to_s and window.from_s <= wanted.sent_s + RECOVER_MAX_S


def _percentiles(name: str, values: Sequence[float | None]) -> dict[str, object]:
    known = sorted(value for value in values if value is not None)
    if not known:
        return {f"{name}P50": None, f"{name}P99": None}
    return {
        f"{name}P50": round(statistics.median(known), 3),
        f"{name}P99": round(known[min(len(known) - 1, int(len(known) * 0.99))], 3),
    }


async def fight(folder: Path, *, seed: int, faults: int, executions: int, pause_s: float = 0.3) -> Battle:
    """Fight it out; the judgement is in the result."""
    rng = random.Random(seed)
    async with stage(folder, seed) as scene, scene.server.client() as client:
        workload = Workload(client, random.Random(rng.random()), executions, pause_s)
        battle = Battle(seed=seed, windows=[], log=workload.log)
        async with asyncio.TaskGroup() as group:
            group.create_task(workload.run())
            battle.windows = [await _suffer(scene, fault, client, rng) for fault in _plan(rng, faults)]
        await _until_settled(client)
        battle.judgement = await _judged(scene, client, battle)
    return battle


def _plan(rng: random.Random, faults: int) -> list[Fault]:
    """Every kind equally often, in any order."""
    rounds = [rng.sample(FAULTS, len(FAULTS)) for _ in range(faults // len(FAULTS) + 1)]
    return [fault for kinds in rounds for fault in kinds][:faults]


async def _suffer(scene: Stage, fault: Fault, client: Client, rng: random.Random) -> Window:
    loop = asyncio.get_running_loop()
    window = Window(fault=fault.name, from_s=loop.time())
    await fault.hurt(scene, rng)
    lasts_s = rng.uniform(*fault.lasts_s)
    if fault.cuts_off:
        window.detected_s = await _after(lambda: _state_is(client, connected=False), DETECT_MAX_S)
    await asyncio.sleep(max(0.0, window.from_s + lasts_s - loop.time()))
    mended_s = loop.time()
    await fault.mend(scene, rng)
    took_s = await _after(lambda: _state_is(client, connected=True), RECOVER_MAX_S)
    assert took_s is not None, f"{fault.name}: not connected again {RECOVER_MAX_S:g} s after it was mended"
    window.to_s = loop.time()
    window.recovered_s = window.to_s - mended_s
    await asyncio.sleep(rng.uniform(0, 0.5))
    return window


async def _after(look: Callable[[], Awaitable[bool]], within_s: float) -> float | None:
    """How long it took until `look` was true; None if it was not within that time."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < within_s:
        if await look():
            return loop.time() - begun
        await asyncio.sleep(LOOK_S)
    return None


async def _state_is(client: Client, *, connected: bool) -> bool:
    with suppress(StigmerError):
        return ((await client.health()).temporal.state == "CONNECTED") is connected
    return False


async def _until_settled(client: Client) -> None:
    async def settled() -> bool:
        with suppress(StigmerError):
            return all(is_settled(row) for row in (await everything(client)).values())
        return False

    with suppress(AssertionError):  # whatever still is not settled is for the judgement to say
        await eventually(settled, within_s=SETTLE_MAX_S)


async def _judged(scene: Stage, client: Client, battle: Battle) -> Judgement:
    clock, rng = SystemClock(), random.Random(1)
    connection = Connection(Target(address=scene.temporal.address), clock=clock, rng=rng, identity="judge")
    async with asyncio.TaskGroup() as group:
        owner = group.create_task(connection.run())
        async with asyncio.timeout(RECOVER_MAX_S):
            await connection.wait_connected()
        gateway = Gateway(connection, clock=clock, rng=rng)
        judgement = await judge(battle.log, client, gateway, excuse=battle.excuse)
        owner.cancel()
    return judgement
