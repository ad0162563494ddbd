"""The workload, and the client's own log: what was asked for under which key, and what was acknowledged."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.client import Client
from stigmer_cli.errors import RequestError, StigmerError
from tests.chaos.tool_agents import GUARDED, TOOL_AGENTS, WEIGHTS, ToolAgent
from tests.chaos.workflow_documents import WORKFLOW_WEIGHTS, WORKFLOWS, ChaosWorkflow

GREETER, SLOW, POISONOUS, UNKNOWN = "greeter", "slow", "poisonous", "unknown"
POISON = "openai:poison"
AGENTS = {GREETER: "echo", SLOW: "echo:slow", POISONOUS: POISON, UNKNOWN: "openai:nobody"}
ECHO = "Echo (no model was asked): {message}"
AGAIN_S = 0.1
SLOW_SHARE = 0.12
TOOLS_SHARE = 0.7
"""Of all requests for agents, those for agents that use tools."""

WORKFLOWS_SHARE = 0.2
"""Of all requests of a long chaos run, those for workflows."""

AGAIN_SHARE = 0.1
HUGE = 3_000_000
"""Characters: more than a message may have, but a body that the server still reads."""

ENDLESS = 5_000_000
"""Characters: a body that is larger than what the server reads."""


class Expect(StrEnum):
    """How a request must end."""

    ECHO = "echo"
    TOOLS = "tools"
    WORKFLOW = "workflow"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass
class WorkloadRequest:
    """One request of an agent or a workflow. `ids` are those that answers gave for its key; times of the event loop."""

    key: str
    agent: str
    expect: Expect
    sent_s: float
    size: int = 0
    ids: set[str] = field(default_factory=set)
    acknowledged_s: float | None = None
    is_refused: bool = False
    refusals: int = 0

    @property
    def message(self) -> str:
        """The message for the agent, or the order that the workflow is given."""
        if self.expect is Expect.WORKFLOW:
            return self.key
        return f"say {self.key} once" + "!" * self.size

    @property
    def tool_agent(self) -> ToolAgent | ChaosWorkflow | None:
        """The agent, if it uses tools, or the workflow."""
        return TOOL_AGENTS.get(self.agent) or WORKFLOWS.get(self.agent)

    @property
    def output(self) -> JsonValue:
        """What the execution must give if it completes."""
        match self.tool_agent:
            case ToolAgent(end=end):
                return end
            case ChaosWorkflow() as workflow:
                return dict(workflow.output(self.message))
            case None:
                return ECHO.format(message=self.message)

    def to_request(self) -> ExecutionRequest:
        """What the client sends, valid or not."""
        if self.expect is Expect.WORKFLOW:
            return ExecutionRequest(workflow=self.agent, input={"order": self.message})
        return ExecutionRequest.model_construct(agent=self.agent, message=self.message, labels={})


@dataclass
class Workload:
    """Sends `executions` requests, a few at a time, each until it is acknowledged, and some of them twice.

    Only as many are sent as were `release`d, so that they spread over a chaos run of any length.
    """

    client: Client
    rng: random.Random
    executions: int
    tools_share: float = TOOLS_SHARE
    workflows_share: float = 0.0
    pause_s: float = 0.1
    log: list[WorkloadRequest] = field(default_factory=list)
    released: int = 0
    _group: asyncio.TaskGroup | None = None
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, *, clients: int = 4) -> None:
        """Return when everything is acknowledged, and nothing more will be sent."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            if self.tools_share:  # also the shortest run has one
                self.request(1, GUARDED.name)
            for number in range(clients):
                group.create_task(self._client(), name=f"client {number}")
            await self._over.wait()

    def release(self, share: float) -> None:
        """Let this share of all requests be sent, from 0 to 1."""
        self.released = round(self.executions * share)
        self._more.set()

    def end(self) -> None:
        """Send no more than what was released."""
        self._over.set()

    def request(self, count: int, agent: str = GREETER, *, size: int = 0) -> Sequence[WorkloadRequest]:
        """Send so many more at once, without waiting for their answers."""
        assert self._group is not None, "nobody works yet"
        requests = [self._new(agent, size) for _ in range(count)]
        for wanted in requests:
            self._group.create_task(self._until_answered(wanted), name=wanted.key)
        return requests

    async def _client(self) -> None:
        while len(self.log) < self.executions:
            if len(self.log) >= self.released:
                self._more.clear()
                await self._more.wait()
                continue
            wanted = self._new(self._choose_agent(), 0)
            await self._until_answered(wanted)
            if self.rng.random() < AGAIN_SHARE:
                await self._ask(wanted)
            await asyncio.sleep(self.rng.uniform(0, 2 * self.pause_s))

    def _choose_agent(self) -> str:
        if self.rng.random() < self.workflows_share:
            return self.rng.choices(list(WORKFLOW_WEIGHTS), list(WORKFLOW_WEIGHTS.values()))[0]
        chance = self.rng.random()
        if chance < self.tools_share:
            return self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        return SLOW if self.rng.random() < SLOW_SHARE else GREETER

    def _new(self, agent: str, size: int) -> WorkloadRequest:
        expect = Expect.TOOLS if agent in TOOL_AGENTS else Expect.ECHO
        expect = Expect.WORKFLOW if agent in WORKFLOWS else expect
        expect = Expect.FAILED if agent in (POISONOUS, UNKNOWN) else Expect.REFUSED if size else expect
        wanted = WorkloadRequest(
            key=f"chaos-{len(self.log):06d}",
            agent=agent,
            expect=expect,
            sent_s=asyncio.get_running_loop().time(),
            size=size,
        )
        self.log.append(wanted)
        return wanted

    async def _until_answered(self, wanted: WorkloadRequest) -> None:
        while not await self._ask(wanted):  # noqa: ASYNC110 - another process is asked
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, wanted: WorkloadRequest) -> bool:
        request = wanted.to_request()
        with suppress(StigmerError):
            try:
                answer = await self.client.create_execution(request, idempotency_key=wanted.key, require_temporal=False)
            except RequestError:
                wanted.is_refused = True
                return True
            wanted.ids.add(answer.metadata.id)
            wanted.acknowledged_s = wanted.acknowledged_s or asyncio.get_running_loop().time()
            return True
        wanted.refusals += 1
        return False
