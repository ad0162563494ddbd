"""Faults of the way to Temporal, T6 and N1 to N8: slow, silent, lossy, narrow, cut, and flapping."""

import asyncio
import random
from dataclasses import replace

from tests.chaos.fault import RARE, Act, Fault, Shows
from tests.chaos.harness import Harness
from tests.chaos.proxy import Toxics

FLAPS = 3
FLAP_S = 0.5
MOVES_A_FLAP = 4
"""Suspect, lost, found, and one more for a probe that meets the next turn."""


def toxic(**change: float) -> Act:
    """Have the proxy do this to what goes through it."""

    async def hurt(harness: Harness, _rng: random.Random) -> None:
        harness.proxy.toxics = replace(harness.proxy.toxics, **change)  # type: ignore[arg-type]
        if harness.proxy.toxics.is_refusing:
            harness.proxy.reset()

    return hurt


async def pure(harness: Harness, _rng: random.Random) -> None:
    harness.proxy.toxics = Toxics()


async def pure_and_reset(harness: Harness, _rng: random.Random) -> None:
    harness.proxy.reset()  # what was held back is lost for good
    harness.proxy.toxics = Toxics()


async def _flap(harness: Harness, rng: random.Random) -> None:
    """Down and up by turns; down at last."""
    for _ in range(FLAPS):
        await toxic(is_refusing=True)(harness, rng)
        await asyncio.sleep(FLAP_S)
        await pure(harness, rng)
        harness.workload.request(1)
        await asyncio.sleep(FLAP_S)


async def _close_slowly(harness: Harness, rng: random.Random) -> None:
    """Temporal goes, and whoever is connected does not hear of it for a while."""
    await toxic(slow_close_s=0.5)(harness, rng)
    harness.temporal.kill()


async def _pure_and_started(harness: Harness, rng: random.Random) -> None:
    await pure(harness, rng)
    await asyncio.to_thread(harness.temporal.start)


NARROW_MOVES = 6
"""Two moves are meant. Asking twice a second who polls takes half of such a line by itself, and probes come late."""

SILENT: tuple[float, float] = (0.0, 0.5)

NETWORK: tuple[Fault, ...] = (
    Fault(name="T6 slow", hurt=toxic(latency_s=0.3), mend=pure),
    Fault(name="N1 reset and refused", hurt=toxic(is_refusing=True), mend=pure, shows=Shows.CUT_OFF),
    Fault(
        name="N2 silence",
        hurt=toxic(is_silent_up=True, is_silent_down=True),
        mend=pure,
        lasts_s=SILENT,
        shows=Shows.CUT_OFF,
        weight=RARE,
    ),
    Fault(
        name="N3 replies lost",
        hurt=toxic(is_silent_down=True),
        mend=pure_and_reset,
        lasts_s=SILENT,
        shows=Shows.CUT_OFF,
        weight=RARE,
    ),
    Fault(name="N4 cut after some bytes", hurt=toxic(cut_after_bytes=6000), mend=pure),
    Fault(name="N4 sliced", hurt=toxic(slice_bytes=7), mend=pure),
    Fault(name="N4 slow close", hurt=_close_slowly, mend=_pure_and_started, shows=Shows.CUT_OFF),
    Fault(name="N5 20 % loss", hurt=toxic(loss=0.2), mend=pure, lasts_s=(0.8, 1.6), moves_max=2),
    Fault(name="N5 jitter", hurt=toxic(latency_s=0.05, jitter_s=0.1), mend=pure, lasts_s=(0.8, 1.6), moves_max=2),
    Fault(
        name="N5 8 kB a second", hurt=toxic(bytes_a_second=8000), mend=pure, lasts_s=(0.8, 1.6), moves_max=NARROW_MOVES
    ),
    Fault(name="N8 reset once", hurt=pure_and_reset, lasts_s=(0.0, 0.2)),
    Fault(name="N8 flapping", hurt=_flap, mend=pure, lasts_s=(0, 0), moves_max=FLAPS * MOVES_A_FLAP, weight=RARE),
)
