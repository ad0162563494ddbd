"""What a fault is, as data: how it hurts, how it is mended, how it has to show, and what may not happen meanwhile."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.harness import Harness

Act = Callable[[Harness, random.Random], Awaitable[None]]

RARE = 0.4
"""The weight of what takes long."""


class Shows(StrEnum):
    """What `/v1/health` has to say while the fault lasts."""

    NOTHING = "nothing"
    CUT_OFF = "cut off"
    STRAINED = "strained"


async def nothing(_stage: Harness, _rng: random.Random) -> None:
    """It mends by itself."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`hurt`, then until it shows and at least some seconds (`lasts_s`: from, to), then `mend`.

    `forgets`: Temporal's past is gone, or a part of it. `is_quiet`: once it shows, nothing may be started or submitted
    again until it is mended. `moves_max`: how often the connection may change its state from `hurt` to the recovery.
    `weight`: how often it comes, compared with others. `sets_clock`: times that are written meanwhile are wrong.
    """

    name: str
    hurt: Act
    mend: Act = nothing
    lasts_s: tuple[float, float] = (0.2, 0.8)
    shows: Shows = Shows.NOTHING
    forgets: bool = False
    is_quiet: bool = False
    moves_max: int | None = None
    weight: float = 1.0
    sets_clock: bool = False
