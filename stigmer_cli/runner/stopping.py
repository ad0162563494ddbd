"""The end of a worker, or of the whole runner, as two events: asked to stop, and out of patience."""

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stopping:
    """`asked`: take up nothing new, and stop waiting. `now`: hand back what is still being performed."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    now: asyncio.Event = field(default_factory=asyncio.Event)
