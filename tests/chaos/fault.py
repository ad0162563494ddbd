"""A fault as data: how it is injected and healed, how health must show it, and what may not happen meanwhile."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.harness import Harness

Act = Callable[[Harness, random.Random], Awaitable[None]]

RARE = 0.4
"""The weight of a fault that takes long."""


class Shows(StrEnum):
    """What `/v1/health` must report while the fault lasts."""

    NOTHING = "nothing"
    CUT_OFF = "cut off"
    STRAINED = "strained"


async def nothing(_harness: Harness, _rng: random.Random) -> None:
    """Do nothing: the fault ends by itself."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`inject`; wait until health shows it, and `lasts_s` (least, most) at least; then `heal`.

    `forgets`: Temporal loses workflows. `is_quiet`: once health shows it, nothing may be started or submitted again
    until `heal`. `moves_max`: how often the connection may change its state from `inject` to the recovery. `weight`:
    its frequency relative to others. `sets_clock`: times that are written meanwhile are wrong.
    """

    name: str
    inject: Act
    heal: Act = nothing
    lasts_s: tuple[float, float] = (0.2, 0.8)
    shows: Shows = Shows.NOTHING
    forgets: bool = False
    is_quiet: bool = False
    moves_max: int | None = None
    weight: float = 1.0
    sets_clock: bool = False
