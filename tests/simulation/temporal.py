"""A simulated Temporal behind a network that fails: it answers the SDK's own requests, and faults can be injected.

It keeps the rules that matter here (reuse and conflict policies, activity attempts with heartbeats, completions that
are dropped while it is away) and is held to the real one by the contract suite of the gateway.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar, cast

from google.protobuf.message import Message
from temporalio.api.enums.v1 import EventType, WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from temporalio.api.errordetails.v1 import (
    NamespaceNotFoundFailure,
    NotFoundFailure,
    WorkflowExecutionAlreadyStartedFailure,
)
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceResponse,
    DescribeTaskQueueResponse,
    DescribeWorkflowExecutionResponse,
    GetClusterInfoResponse,
    GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseResponse,
    RequestCancelWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionResponse,
)
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from stigmer_cli.clock import Clock
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.contract import DELIVERIES_MAX, FailureKind
from stigmer_cli.temporal.dial import KNOCK_EVERY_S, SdkSession
from stigmer_cli.temporal.gateway import STATES, RunState
from stigmer_cli.temporal.target import Target
from stigmer_cli.temporal.workflow_input import EPOCH, EXECUTION_ID
from tests.support.fakes_temporal import LoopClock, rpc_error

R = TypeVar("R")
HEARTBEAT_MAX_S = 2.0
FOR_EVER_S = 3600.0
USE_EXISTING = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
REJECT = WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
NUMBERS = {state: number for number, state in STATES.items() if "PAUSED" not in str(number)}


@dataclass
class Run:
    """One workflow run, and which of its activities is on: claim, perform or conclude."""

    run_id: str
    name: str
    execution: str
    epoch: int
    started_s: float
    state: RunState = RunState.OPEN
    closed_s: float | None = None
    failure: str = ""
    stage: str = "claim"
    attempt: int = 1
    token: int = 0
    lease_s: float | None = None
    is_cancel_requested: bool = False
    last_word: tuple[Phase, FailureKind] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """One attempt at an activity, as a runner gets it."""

    run: Run
    token: int
    stage: str
    attempt: int


@dataclass(kw_only=True)
class Conditions:
    """What the network and Temporal do to a call; chances from 0 to 1, delays in seconds."""

    is_up: bool = True
    is_frozen: bool = False
    has_namespace: bool = True
    is_denied: bool = False
    throttle_cpu: float = 0.0
    not_serving: float = 0.0
    lose_request: float = 0.0
    lose_reply: float = 0.0
    late: float = 0.0
    slow_s: float = 0.0

    @property
    def serves(self) -> bool:
        """Whether a worker gets through."""
        return self.is_up and not self.is_frozen and self.has_namespace and not self.is_denied


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
            if run.state is RunState.OPEN and run.lease_s is None:
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

    def complete(self, task: Task, *, won: bool = True) -> None:
        """The activity ended well; dropped where nothing gets through."""
        if not self.conditions.serves or not self._holds(task):
            return
        run = task.run
        run.lease_s, run.attempt, run.token = None, 1, 0
        if task.stage == "conclude":
            assert run.last_word is not None
            self.close(run, RunState.CANCELLED if run.last_word[0] is Phase.CANCELLED else RunState.FAILED)
        elif task.stage == "perform" or not won:
            self.close(run, RunState.COMPLETED)
        elif run.is_cancel_requested:
            self._conclude(run, Phase.CANCELLED, FailureKind.CANCELLED)
        else:
            run.stage = "perform"

    def cancelled(self, task: Task) -> None:
        """The activity ended because it was asked to."""
        if self.conditions.serves and self._holds(task):
            self._conclude(task.run, Phase.CANCELLED, FailureKind.CANCELLED)

    def failed(self, task: Task) -> None:
        """The activity ended badly."""
        if self.conditions.serves and self._holds(task):
            self._again(task.run)

    def failed_for_good(self, task: Task) -> None:
        """The activity ended in a way that no other attempt could repair, and the workflow with it."""
        if self.conditions.serves and self._holds(task):
            self.close(task.run, RunState.FAILED, "refused")

    def _again(self, run: Run) -> None:
        run.attempt, run.lease_s, run.token = run.attempt + 1, None, 0
        if run.stage == "perform" and run.attempt > DELIVERIES_MAX:
            self._conclude(run, Phase.FAILED, FailureKind.RUNNER_LOST)

    def _conclude(self, run: Run, phase: Phase, kind: FailureKind) -> None:
        run.stage, run.last_word, run.attempt, run.lease_s, run.token = "conclude", (phase, kind), 1, None, 0

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


class SimClient:
    """As much of the SDK's client as the gateway and the probe use."""

    def __init__(self, temporal: SimTemporal, identity: str) -> None:
        self.identity = identity
        self.data_converter = DataConverter.default
        self.workflow_service = SimService(temporal)


class SimService:
    """The calls of the workflow service, with its own requests and responses."""

    def __init__(self, temporal: SimTemporal) -> None:
        self._temporal = temporal

    async def describe_namespace(self, _request: Message, **_: Any) -> DescribeNamespaceResponse:
        response = DescribeNamespaceResponse()
        response.namespace_info.id = f"namespace-{self._temporal.cluster_changes}"
        return await self._temporal.through(lambda: response)

    async def get_cluster_info(self, _request: Message, **_: Any) -> GetClusterInfoResponse:
        cluster_changes = self._temporal.cluster_changes
        return await self._temporal.through(lambda: GetClusterInfoResponse(cluster_id=f"cluster-{cluster_changes}"))

    async def start_workflow_execution(
        self, request: StartWorkflowExecutionRequest, **_: Any
    ) -> StartWorkflowExecutionResponse:
        return await self._temporal.through(lambda: self._start(request), is_start=True)

    async def describe_workflow_execution(self, request: Any, **_: Any) -> DescribeWorkflowExecutionResponse:
        return await self._temporal.through(lambda: self._describe(request.execution.workflow_id))

    async def get_workflow_execution_history(self, request: Any, **_: Any) -> GetWorkflowExecutionHistoryResponse:
        return await self._temporal.through(lambda: self._history(request.execution.workflow_id))

    async def request_cancel_workflow_execution(self, request: Any, **_: Any) -> RequestCancelWorkflowExecutionResponse:
        return await self._temporal.through(lambda: self._cancel(request.workflow_execution.workflow_id))

    async def terminate_workflow_execution(self, request: Any, **_: Any) -> TerminateWorkflowExecutionResponse:
        name = request.workflow_execution.workflow_id
        return await self._temporal.through(lambda: self._terminate(name, request.reason))

    async def get_workflow_execution_history_reverse(
        self, request: Any, **_: Any
    ) -> GetWorkflowExecutionHistoryReverseResponse:
        return await self._temporal.through(lambda: self._newest(request.execution.workflow_id))

    async def describe_task_queue(self, _request: Message, **_: Any) -> DescribeTaskQueueResponse:
        response = DescribeTaskQueueResponse()
        response.stats.approximate_backlog_count = sum(run.lease_s is None for run in self._temporal.runs.values())
        return await self._temporal.through(lambda: response)

    def _start(self, request: StartWorkflowExecutionRequest) -> StartWorkflowExecutionResponse:
        temporal, name = self._temporal, request.workflow_id
        temporal.starts.append(name)
        was = temporal.runs.get(name)
        is_open = was is not None and was.state is RunState.OPEN
        if was is not None and is_open and request.workflow_id_conflict_policy == USE_EXISTING:
            return StartWorkflowExecutionResponse(run_id=was.run_id, started=False)
        if was is not None and (is_open or request.workflow_id_reuse_policy == REJECT):
            failure = WorkflowExecutionAlreadyStartedFailure(run_id=was.run_id)
            raise rpc_error(RPCStatusCode.ALREADY_EXISTS, "Workflow execution already started", failure)
        workflow_input = json.loads(request.input.payloads[0].data)
        run = Run(
            run_id=f"run-{temporal.rng.getrandbits(48):012x}",
            name=name,
            execution=workflow_input[EXECUTION_ID],
            epoch=workflow_input[EPOCH],
            started_s=temporal.clock.monotonic(),
        )
        temporal.runs[name] = run
        return StartWorkflowExecutionResponse(run_id=run.run_id, started=True)

    def _describe(self, name: str) -> DescribeWorkflowExecutionResponse:
        run, response = self._run(name), DescribeWorkflowExecutionResponse()
        info = response.workflow_execution_info
        info.execution.run_id = run.run_id
        info.status = cast("Any", NUMBERS[run.state])
        info.start_time.FromDatetime(self._moment(run.started_s))
        if run.closed_s is not None:
            info.close_time.FromDatetime(self._moment(run.closed_s))
        return response

    def _history(self, name: str) -> GetWorkflowExecutionHistoryResponse:
        run, response = self._run(name), GetWorkflowExecutionHistoryResponse()
        event = HistoryEvent()
        if run.state is RunState.TERMINATED:
            event.event_type = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
            ended = event.workflow_execution_terminated_event_attributes
            ended.identity, ended.reason = "test", run.failure
        elif run.state is RunState.CANCELLED:
            event.event_type = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
        response.history.events.append(event)
        return response

    def _cancel(self, name: str) -> RequestCancelWorkflowExecutionResponse:
        run = self._run(name)
        if run.state is not RunState.OPEN:
            raise rpc_error(RPCStatusCode.NOT_FOUND, "workflow execution already completed", NotFoundFailure())
        run.is_cancel_requested = True
        return RequestCancelWorkflowExecutionResponse()

    def _terminate(self, name: str, reason: str) -> TerminateWorkflowExecutionResponse:
        run = self._run(name)
        if run.state is not RunState.OPEN:
            raise rpc_error(RPCStatusCode.NOT_FOUND, "workflow execution already completed", NotFoundFailure())
        self._temporal.close(run, RunState.TERMINATED, reason)
        return TerminateWorkflowExecutionResponse()

    def _newest(self, name: str) -> GetWorkflowExecutionHistoryReverseResponse:
        self._run(name)  # its code always fits here: no task of it ever fails
        return GetWorkflowExecutionHistoryReverseResponse()

    def _run(self, name: str) -> Run:
        run = self._temporal.runs.get(name)
        if run is None:
            raise rpc_error(RPCStatusCode.NOT_FOUND, f"workflow not found for ID: {name}", NotFoundFailure())
        return run

    def _moment(self, at_s: float) -> Any:
        now = self._temporal.clock
        return (now.now() + timedelta(seconds=at_s - now.monotonic())).replace(tzinfo=None)


def no_faults() -> Conditions:
    """Nothing is wrong."""
    return replace(Conditions())
