"""The executions of a drill: submits them all the time, and judges at the end what became of each."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from stigmer_cli.api.resources import AgentManifest, EventBody, ExecutionRequest, ManifestMetadata
from stigmer_cli.cli.executions.create import make_creation
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, StigmerError

AGENT = "stigmer-drill"
LABELS = {"stigmer.ai/test": "drill"}
EVERY_S = 0.25
AGAIN_S = 0.2
SETTLE_MAX_S = 90.0
OUTCOMES = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})


@dataclass(kw_only=True)
class Workload:
    """What was asked for, and what was accepted; an answer that was lost in a fault is found out at the end."""

    client: Client
    clock: Clock
    asked: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)

    async def prepare(self) -> None:
        """Create the agent."""
        manifest = AgentManifest(
            api_version="agentic.stigmer.ai/v1",
            kind="Agent",
            metadata=ManifestMetadata(name=AGENT, labels=LABELS),
        )
        await self.client.apply([manifest])

    async def submit(self) -> str:
        """Ask for one execution, and return its id; raises what the server raised."""
        message = f"drill {len(self.asked) + 1}"
        wanted = make_creation(
            ExecutionRequest(agent=AGENT, message=message, labels=LABELS), key=None, require_temporal=False
        )
        self.asked.append(wanted.id)
        await self.client.create_execution(wanted.request, idempotency_key=wanted.key, require_temporal=False)
        self.accepted.add(wanted.id)
        return wanted.id

    async def run(self) -> None:
        """Submit one after another until cancelled."""
        while True:
            with suppress(StigmerError):
                await self.submit()
            await self.clock.sleep(EVERY_S)

    async def complete_one(self) -> None:
        """Return once an execution that was submitted after this call has completed."""
        while True:
            with suppress(StigmerError):
                name = await self.submit()
                while not (await self.client.execution(name)).status.phase.is_terminal:
                    await self.clock.sleep(AGAIN_S)
                return
            await self.clock.sleep(AGAIN_S)

    async def judge(self, names: Sequence[str]) -> tuple[int, int, int]:
        """How many of `names` were accepted, lost, and done twice; waits for those that are not done.

        Lost is what was accepted and has not completed. What the server never accepted is not lost.
        """
        accepted = lost = twice = 0
        ends = self.clock.monotonic() + SETTLE_MAX_S
        for name in names:
            try:
                phase = await self._settle(name, ends)
                events = await self.client.events(name)
            except NotFound:
                accepted += name in self.accepted
                lost += name in self.accepted
                continue
            accepted += 1
            lost += phase is not Phase.COMPLETED
            twice += was_done_twice(events)
        return accepted, lost, twice

    async def _settle(self, name: str, ends: float) -> Phase:
        while True:
            with suppress(asyncio.TimeoutError):
                found = await self.client.execution(name)
                if found.status.phase.is_terminal or self.clock.monotonic() > ends:
                    return found.status.phase
            await self.clock.sleep(AGAIN_S)

    async def remove(self) -> None:
        """Delete the agent."""
        with suppress(StigmerError):
            await self.client.delete_agent(AGENT)


def was_done_twice(events: Sequence[EventBody]) -> bool:
    """Whether it has two outcomes, or more runs claimed it than it was resumed, or started over by a person.

    To resume it is no doing twice: what its earlier run had finished is not done again.
    """
    types = Counter(event.type for event in events)
    claims = types[EventType.CLAIMED] - types[EventType.STARTED_OVER] - types[EventType.RESUMED]
    return claims > 1 or sum(types[one] for one in OUTCOMES) > 1
