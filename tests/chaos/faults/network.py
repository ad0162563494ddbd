"""Faults of the network to Temporal, T6 and N1 to N8: slow, silent, lossy, narrow, cut, and flapping."""

import asyncio
import random
from dataclasses import replace

from tests.chaos.fault import RARE, Act, Fault, Shows
from tests.chaos.harness import Harness
from tests.chaos.proxy import Toxics

FLAPS = 3
FLAP_S = 0.5
MOVES_A_FLAP = 4
"""Suspect, lost, found, and one more for a probe that runs into the next flap."""


def toxic(**change: float) -> Act:
    """Change the toxics of the proxy."""

    async def inject(harness: Harness, _rng: random.Random) -> None:
        harness.proxy.toxics = replace(harness.proxy.toxics, **change)  # type: ignore[arg-type]
        if harness.proxy.toxics.is_refusing:
            harness.proxy.reset()

    return inject


async def clear_toxics(harness: Harness, _rng: random.Random) -> None:
    harness.proxy.toxics = Toxics()


async def clear_toxics_and_reset(harness: Harness, _rng: random.Random) -> None:
    harness.proxy.reset()  # what was held back is lost for good
    harness.proxy.toxics = Toxics()


async def _flap(harness: Harness, rng: random.Random) -> None:
    """Alternate between down and up."""
    for _ in range(FLAPS):
        await toxic(is_refusing=True)(harness, rng)
        await asyncio.sleep(FLAP_S)
        await clear_toxics(harness, rng)
        harness.workload.request(1)
        await asyncio.sleep(FLAP_S)


async def _close_slowly(harness: Harness, rng: random.Random) -> None:
    """Kill Temporal; its clients notice the closed connection late."""
    await toxic(slow_close_s=0.5)(harness, rng)
    harness.temporal.kill()


async def _clear_toxics_and_start(harness: Harness, rng: random.Random) -> None:
    await clear_toxics(harness, rng)
    await asyncio.to_thread(harness.temporal.start)


NARROW_MOVES = 6
"""Two moves are expected. Asking for pollers twice a second takes half of this bandwidth, so that probes are late."""

SILENT: tuple[float, float] = (0.0, 0.5)

NETWORK: tuple[Fault, ...] = (
    Fault(name="T6 slow", inject=toxic(latency_s=0.3), heal=clear_toxics),
    Fault(name="N1 reset and refused", inject=toxic(is_refusing=True), heal=clear_toxics, shows=Shows.CUT_OFF),
    Fault(
        name="N2 silence",
        inject=toxic(is_silent_up=True, is_silent_down=True),
        heal=clear_toxics,
        lasts_s=SILENT,
        shows=Shows.CUT_OFF,
        weight=RARE,
    ),
    Fault(
        name="N3 replies lost",
        inject=toxic(is_silent_down=True),
        heal=clear_toxics_and_reset,
        lasts_s=SILENT,
        shows=Shows.CUT_OFF,
        weight=RARE,
    ),
    Fault(name="N4 cut after some bytes", inject=toxic(cut_after_bytes=6000), heal=clear_toxics),
    Fault(name="N4 sliced", inject=toxic(slice_bytes=7), heal=clear_toxics),
    Fault(name="N4 slow close", inject=_close_slowly, heal=_clear_toxics_and_start, shows=Shows.CUT_OFF),
    Fault(name="N5 20 % loss", inject=toxic(loss=0.2), heal=clear_toxics, lasts_s=(0.8, 1.6), moves_max=2),
    Fault(
        name="N5 jitter", inject=toxic(latency_s=0.05, jitter_s=0.1), heal=clear_toxics, lasts_s=(0.8, 1.6), moves_max=2
    ),
    Fault(
        name="N5 8 kB a second",
        inject=toxic(bytes_a_second=8000),
        heal=clear_toxics,
        lasts_s=(0.8, 1.6),
        moves_max=NARROW_MOVES,
    ),
    Fault(name="N8 reset once", inject=clear_toxics_and_reset, lasts_s=(0.0, 0.2)),
    Fault(
        name="N8 flapping", inject=_flap, heal=clear_toxics, lasts_s=(0, 0), moves_max=FLAPS * MOVES_A_FLAP, weight=RARE
    ),
)
