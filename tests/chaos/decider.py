"""The person of a chaos run: approves or denies each call that waits for that, a moment after it was asked about."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from stigmer_cli.api.decisions import CallName, DecideItem, DecideOutcome, DecideRequest
from stigmer_cli.api.query import Query
from stigmer_cli.client import Client
from stigmer_cli.domain.waiting import Verdict
from stigmer_cli.errors import StigmerError
from tests.chaos.tool_agents import GUARDED

POLL_S = 0.4
DELAY_MAX_S = 2.0
"""How long a call waits for its decision at most, once it was seen."""

DENIED_SHARE = 0.35
AGAIN_SHARE = 0.5
"""Of all decisions, those that are sent a second time, half of them with the other verdict."""

Place: TypeAlias = tuple[str, str]
"""A call: its execution, and the key of its step."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is decided about a call, and from when on that is sent, by the event loop's time."""

    verdict: Verdict
    due_s: float


@dataclass
class Decider:
    """Decides once about each call; a decision that no answer came to is sent again as it was.

    `acknowledged` are the calls whose decision the server has confirmed, and `wrong` what it did with decisions that it
    must not do, as sentences.
    """

    client: Client
    rng: random.Random
    choices: dict[Place, Choice] = field(default_factory=dict)
    acknowledged: set[Place] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[Self]:
        """Within the block, calls are decided."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.run(), name="decider")
            try:
                yield self
            finally:
                task.cancel()

    async def run(self) -> None:
        """Decide for ever; the server may be away meanwhile."""
        while True:
            with suppress(StigmerError):
                await self.decide_due()
            await asyncio.sleep(POLL_S)

    async def decide_due(self) -> None:
        """Decide about each call that waits, and has waited long enough; raises StigmerError."""
        waiting = await self.client.list_executions(Query(is_waiting=True, agent=GUARDED.name), limit=None)
        for row in waiting.items:
            for call in row.status.waiting.calls if row.status.waiting else ():
                place = (row.metadata.id, call.step)
                choice = self.choices.setdefault(place, self._choose())
                if place in self.acknowledged:
                    self.wrong.append(f"{place} waits, and was decided before")
                elif choice.due_s <= asyncio.get_running_loop().time():
                    await self._decide(place, choice.verdict)

    def _choose(self) -> Choice:
        verdict = Verdict.DENIED if self.rng.random() < DENIED_SHARE else Verdict.APPROVED
        return Choice(verdict=verdict, due_s=asyncio.get_running_loop().time() + self.rng.uniform(0, DELAY_MAX_S))

    async def _decide(self, place: Place, verdict: Verdict) -> None:
        item = await self._send(place, verdict)
        if item.outcome is DecideOutcome.ENDED:  # it was cancelled meanwhile
            return
        if item.outcome is not DecideOutcome.DECIDED:
            self.wrong.append(f"{place} waited, and was not {verdict}: {item.outcome}: {item.reason}")
            return
        self.acknowledged.add(place)
        if self.rng.random() < AGAIN_SHARE:
            await self._send_again(place, verdict)

    async def _send_again(self, place: Place, verdict: Verdict) -> None:
        """Send it once more, or the opposite, which must change nothing."""
        other = Verdict.APPROVED if verdict is Verdict.DENIED else Verdict.DENIED
        second, expected = self.rng.choice([(verdict, DecideOutcome.DECIDED), (other, DecideOutcome.DECIDED_BEFORE)])
        item = await self._send(place, second)
        if item.outcome is not expected:
            self.wrong.append(f"{place} was {verdict}, and then {second}, which is {item.outcome}, not {expected}")

    async def _send(self, place: Place, verdict: Verdict) -> DecideItem:
        name = CallName(id=place[0], step=place[1])
        (item,) = await self.client.decide(DecideRequest(calls=[name], verdict=verdict, reason="by chance"))
        return item
