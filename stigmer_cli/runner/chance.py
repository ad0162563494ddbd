"""Time and randomness, handed in together."""

import random
from dataclasses import dataclass

from stigmer_cli.clock import Clock


@dataclass(frozen=True, kw_only=True)
class Chance:
    """What makes two runs of the same code differ."""

    clock: Clock
    rng: random.Random
