"""A simulated Temporal behind a network that fails: it answers the SDK's own requests, and faults can be injected.

It keeps the rules that matter here (reuse and conflict policies, activity attempts with heartbeats, completions that
are dropped while it is away) and is held to the real one by the contract suite of the gateway.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from stigmer_cli.clock import Clock
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.contract import FailureKind
from stigmer_cli.temporal.dial import KNOCK_EVERY_S, SdkSession
from stigmer_cli.temporal.gateway import RunState
from stigmer_cli.temporal.target import Target
from tests.simulation.temporal_state import Conditions, Run, Task
from tests.simulation.workflow_service import SimClient
from tests.support.fakes_temporal import LoopClock, rpc_error

R = TypeVar("R")
HEARTBEAT_MAX_S = 2.0
FOR_EVER_S = 3600.0


class SimLine:
    """An open connection that says nothing."""

    def __init__(self) -> None:
        self._is_closed = False

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True


@dataclass
class SimTemporal:
    """The server. `forgotten` are the workflow ids that it knew once; `starts` every start that reached it."""

    rng: random.Random
    group: asyncio.TaskGroup
    clock: Clock = field(default_factory=LoopClock)
    conditions: Conditions = field(default_factory=Conditions)
    runs: dict[str, Run] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    starts: list[str] = field(default_factory=list)
    calls: int = 0
    cluster_changes: int = 1
    tokens: int = 0
    on_start: Callable[[str], None] = lambda _where: None

    # -- what the nemesis does

    def wipe(self) -> None:
        """Come back empty, as another cluster."""
        self.forgotten |= self.runs.keys()
        self.runs.clear()
        self.cluster_changes += 1

    def forget_closed(self) -> None:
        """Retention."""
        for name in [name for name, run in self.runs.items() if run.state is not RunState.OPEN]:
            self.forgotten.add(name)
            del self.runs[name]

    def terminate(self, run: Run) -> None:
        """Somebody terminates a workflow."""
        self.close(run, RunState.TERMINATED, "enough")

    def close(self, run: Run, state: RunState, failure: str = "") -> None:
        """End it."""
        run.state, run.failure, run.closed_s, run.lease_s = state, failure, self.clock.monotonic(), None
        run.token = 0

    # -- what workers see

    def poll(self) -> Task | None:
        """The next activity that nobody is at; None if there is none, or no way here."""
        if not self.conditions.serves:
            return None
        now = self.clock.monotonic()
        for run in self.runs.values():
            if run.lease_s is not None and run.lease_s < now:
                self._again(run)
            if run.state is RunState.OPEN and run.lease_s is None and _is_due(run, now):
                self.tokens += 1
                run.token, run.lease_s = self.tokens, now + HEARTBEAT_MAX_S
                return Task(run=run, token=run.token, stage=run.stage, attempt=run.attempt)
        return None

    def heartbeat(self, task: Task) -> str:
        """`on`, `cancel`, `gone`, or `silence` where nothing gets through."""
        if not self.conditions.serves:
            return "silence"
        if not self._holds(task):
            return "gone"
        if task.run.lease_s is not None and task.run.lease_s < self.clock.monotonic():
            self._again(task.run)
            return "gone"
        task.run.lease_s = self.clock.monotonic() + HEARTBEAT_MAX_S
        return "cancel" if task.run.is_cancel_requested and task.stage != "conclude" else "on"

    def complete(self, task: Task) -> None:
        """The activity ended well; dropped where nothing gets through."""
        if not self.conditions.serves or not self._holds(task):
            return
        run = task.run
        run.lease_s, run.attempt, run.token = None, 1, 0
        if task.stage == "conclude":
            assert run.last_word is not None
            self.close(run, RunState.CANCELLED if run.last_word[0] is Phase.CANCELLED else RunState.FAILED)
        else:
            self.close(run, RunState.COMPLETED)

    def cancelled(self, task: Task) -> None:
        """The activity ended because it was asked to."""
        if self.conditions.serves and self._holds(task):
            self._conclude(task.run, Phase.CANCELLED, FailureKind.CANCELLED)

    def failed(self, task: Task, *, delay_s: float = 0.0) -> None:
        """The activity ended badly, and is tried again after `delay_s`."""
        if self.conditions.serves and self._holds(task):
            self._again(task.run)
            task.run.due_s = self.clock.monotonic() + delay_s

    def failed_for_good(self, task: Task) -> None:
        """The activity ended in a way that no other attempt could repair, and the workflow with it."""
        if self.conditions.serves and self._holds(task):
            self.close(task.run, RunState.FAILED, "refused")

    def _again(self, run: Run) -> None:
        run.attempt, run.lease_s, run.token = run.attempt + 1, None, 0

    def _conclude(self, run: Run, phase: Phase, kind: FailureKind) -> None:
        run.stage, run.last_word, run.attempt, run.lease_s, run.token = "conclude", (phase, kind), 1, None, 0
        run.due_s = 0.0

    def _holds(self, task: Task) -> bool:
        found = self.runs.get(task.run.name)
        return found is task.run and found.state is RunState.OPEN and found.token == task.token

    # -- dialling, and the network between

    async def dial(self, target: Target, *, identity: str) -> SdkSession:
        """A client of this Temporal; the signature of a Dialer."""
        await self._reach()
        return SdkSession(client=cast("Client", SimClient(self, identity)), target=target)

    async def wait_listening(self, target: Target) -> None:  # noqa: ARG002 (the signature of a Dialer)
        """Return once it is up."""
        while not self.conditions.is_up:  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(KNOCK_EVERY_S)

    async def open_line(self, target: Target, ended: Callable[[], None]) -> "SimLine":  # noqa: ARG002 (as above)
        """A line that ends when it is down."""
        if not self.conditions.is_up:
            raise ConnectionRefusedError
        line = SimLine()
        self.group.create_task(self._end_with(line, ended))
        return line

    async def _end_with(self, line: "SimLine", ended: Callable[[], None]) -> None:
        while self.conditions.is_up and not line.is_closing():  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(KNOCK_EVERY_S)
        line.close()
        ended()

    async def through(self, act: Callable[[], R], *, is_start: bool = False) -> R:
        """What `act` answers, if request and reply get through."""
        conditions = self.conditions
        self.calls += 1
        await self._reach()
        if self.rng.random() < conditions.lose_request:
            await self._nothing()
        if is_start and self.rng.random() < conditions.late:
            self.group.create_task(self._later(act))
            await asyncio.sleep(FOR_EVER_S)
        self._refuse(is_start=is_start)
        if is_start:
            self.on_start("before a start")
        answer = act()
        if is_start:
            self.on_start("after a start")
        if self.rng.random() < conditions.lose_reply:
            await self._nothing()
        return answer

    async def _reach(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.0005, 0.003) + self.conditions.slow_s)
        if not self.conditions.is_up:
            raise rpc_error(RPCStatusCode.UNAVAILABLE, "tcp connect error")
        while self.conditions.is_frozen:  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(0.1)

    async def _nothing(self) -> None:
        if self.rng.random() < 0.5:
            raise rpc_error(RPCStatusCode.UNAVAILABLE, "http2 error")
        await asyncio.sleep(FOR_EVER_S)

    async def _later(self, act: Callable[[], object]) -> None:
        await asyncio.sleep(self.rng.uniform(0.1, 15.0))
        if self.conditions.serves:
            try:
                act()
            except RPCError:
                return

    def _refuse(self, *, is_start: bool) -> None:
        conditions = self.conditions
        if conditions.is_denied:
            raise rpc_error(RPCStatusCode.PERMISSION_DENIED, "Request unauthorized.")
        if not conditions.has_namespace:
            missing = NamespaceNotFoundFailure(namespace="default")
            raise rpc_error(RPCStatusCode.NOT_FOUND, "Namespace default is not found.", missing)
        if is_start and self.rng.random() < conditions.throttle_cpu:
            raise rpc_error(RPCStatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded")
        if is_start and self.rng.random() < conditions.not_serving:
            raise rpc_error(RPCStatusCode.UNAVAILABLE, "Not enough hosts to serve the request")


def _is_due(run: Run, now: float) -> bool:
    """Whether its next attempt may begin; one that waits for that is cancelled at once."""
    return run.due_s <= now or run.is_cancel_requested
