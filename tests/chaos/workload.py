"""The workload, and the client's own log: what was asked for under which key, and what was acknowledged."""

import asyncio
import random
from dataclasses import dataclass, field

from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.client import Client
from stigmer_cli.errors import StigmerError
from tests.chaos.stage import AGENTS


@dataclass
class Wanted:
    """One wish. `ids` are all the ids that answers gave for its key; times are of the event loop."""

    key: str
    agent: str
    sent_s: float
    ids: set[str] = field(default_factory=set)
    acknowledged_s: float | None = None
    refusals: int = 0


@dataclass
class Workload:
    """Sends `executions` wishes, a few at a time, each until it is acknowledged, and some of them twice."""

    client: Client
    rng: random.Random
    executions: int
    pause_s: float = 0.3
    log: list[Wanted] = field(default_factory=list)

    async def run(self, *, people: int = 4) -> None:
        """Return when all is acknowledged."""
        async with asyncio.TaskGroup() as group:
            for number in range(people):
                group.create_task(self._person(number))

    async def _person(self, _number: int) -> None:
        while len(self.log) < self.executions:
            key = f"chaos-{len(self.log):06d}"
            agent = "slow" if self.rng.random() < 0.2 else "greeter"
            wanted = Wanted(key=key, agent=agent, sent_s=asyncio.get_running_loop().time())
            assert agent in AGENTS
            self.log.append(wanted)
            await self._until_acknowledged(wanted)
            if self.rng.random() < 0.2:
                await self._ask(wanted)
            await asyncio.sleep(self.rng.uniform(0, 2 * self.pause_s))

    async def _until_acknowledged(self, wanted: Wanted) -> None:
        while not await self._ask(wanted):  # noqa: ASYNC110 - another process is asked
            await asyncio.sleep(0.1)

    async def _ask(self, wanted: Wanted) -> bool:
        request = ExecutionRequest(agent=wanted.agent, message=f"say {wanted.key} once")
        try:
            answer = await self.client.create_execution(request, idempotency_key=wanted.key, require_temporal=False)
        except StigmerError:
            wanted.refusals += 1
            return False
        wanted.ids.add(answer.metadata.id)
        wanted.acknowledged_s = wanted.acknowledged_s or asyncio.get_running_loop().time()
        return True
