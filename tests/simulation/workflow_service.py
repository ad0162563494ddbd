"""The workflow service of the simulated Temporal, as the SDK's client calls it: its own requests and responses."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message
from temporalio.api.enums.v1 import EventType, WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from temporalio.api.errordetails.v1 import NotFoundFailure, WorkflowExecutionAlreadyStartedFailure
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
from temporalio.converter import DataConverter
from temporalio.service import RPCStatusCode

from stigmer_cli.temporal.gateway import STATES, RunState
from stigmer_cli.temporal.workflow_input import EPOCH, EXECUTION_ID
from tests.simulation.temporal_state import Run
from tests.support.fakes_temporal import rpc_error

if TYPE_CHECKING:
    from tests.simulation.temporal import SimTemporal

USE_EXISTING = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
REJECT = WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
NUMBERS = {state: number for number, state in STATES.items() if "PAUSED" not in str(number)}


class SimClient:
    """As much of the SDK's client as the gateway and the probe use."""

    def __init__(self, temporal: "SimTemporal", identity: str) -> None:
        self.identity = identity
        self.data_converter = DataConverter.default
        self.workflow_service = SimService(temporal)


class SimService:
    """The calls of the workflow service, with its own requests and responses."""

    def __init__(self, temporal: "SimTemporal") -> None:
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
