"""A Temporal that behaves, without processes: one to dial, one to call, and time that passes when nothing else does."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar, cast

from google.protobuf.any_pb2 import Any as AnyMessage
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import RunId, WorkflowId, WorkflowName
from stigmer_cli.errors import StigmerError
from stigmer_cli.temporal.dial import KNOCK_EVERY_S
from stigmer_cli.temporal.errors import Misconfigured, TemporalUnavailable, WorkflowMissing
from stigmer_cli.temporal.gateway import Observed, Poller, RunState, Started
from stigmer_cli.temporal.pending import PendingActivity, PendingTask, TaskFailure, TemporalPause
from stigmer_cli.temporal.state import ClusterIdentity
from stigmer_cli.temporal.target import Target
from stigmer_cli.temporal.task_queue import QueueLimit

R = TypeVar("R")
EPOCH = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
HOME = ClusterIdentity(cluster_id="cluster-1", namespace_id="namespace-1")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as nothing else is to be done."""

    _virtual_now = 0.0

    def time(self) -> float:
        return self._virtual_now

    def _run_once(self) -> None:
        inner = cast("Any", self)
        scheduled = [timer for timer in inner._scheduled if not timer.cancelled()]
        if not inner._ready:
            assert scheduled or inner._stopping, "every task waits and no timer will wake any"
            if scheduled:
                self._virtual_now = max(self._virtual_now, min(timer.when() for timer in scheduled))
        cast("Any", super())._run_once()


class LoopClock:
    """The time of the running loop, virtual or not; `ahead_s` sets its wall clock. It stands once no loop runs."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._last_s = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic() + self.ahead_s)

    def monotonic(self) -> float:
        with suppress(RuntimeError):
            self._last_s = asyncio.get_running_loop().time()
        return self._last_s

    def asleep_s(self) -> float:
        return 0.0

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


def in_virtual_time(main: Coroutine[Any, Any, R]) -> R:
    """What `main` returns; hours of its waits take milliseconds."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def rpc_error(status: RPCStatusCode, message: str, detail: Any = None) -> RPCError:
    """An error as the SDK raises it, with a detail as Temporal attaches it."""
    grpc = GrpcStatus(code=int(status), message=message)
    if detail is not None:
        packed = AnyMessage()
        packed.Pack(detail)
        grpc.details.append(packed)
    return RPCError(message, status, grpc.SerializeToString())


class Condition(StrEnum):
    """How the scripted Temporal behaves now."""

    HEALTHY = "healthy"
    REFUSED = "refused"
    FROZEN = "frozen"
    BROKEN_ONCE = "broken-once"
    NO_NAMESPACE = "no-namespace"
    DENIED = "denied"
    THROTTLED = "throttled"
    NOT_SERVING = "not-serving"


@dataclass
class ScriptedDialer:
    """Dials a Temporal whose condition the test sets; it holds for the sessions that were dialled before, too."""

    condition: Condition = Condition.HEALTHY
    cluster: ClusterIdentity = HOME
    dials: int = 0
    probes: int = 0
    probed_at: list[float] = field(default_factory=list)
    latency_s: float = 0.001
    accepts_connections: bool = False  # its port accepts connections in any condition
    lines: "list[ScriptedLine]" = field(default_factory=list)

    async def dial(self, target: Target, *, identity: str) -> "ScriptedSession":
        self.dials += 1
        if self.condition is Condition.REFUSED:
            raise RuntimeError(f"Failed client connect: tcp connect error to {target.address} as {identity}")
        if self.condition is Condition.FROZEN:
            await asyncio.sleep(3600)
        return ScriptedSession(self)

    async def wait_listening(self, target: Target) -> None:  # noqa: ARG002 (the signature of a Dialer)
        await asyncio.sleep(KNOCK_EVERY_S)
        while self.condition is Condition.REFUSED and not self.accepts_connections:  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(KNOCK_EVERY_S)

    async def open_line(self, target: Target, ended: Callable[[], None]) -> "ScriptedLine":  # noqa: ARG002 (as above)
        if self.condition is Condition.REFUSED:
            raise ConnectionRefusedError
        self.lines.append(ScriptedLine(ended))
        return self.lines[-1]


class ScriptedLine:
    """A line to a ScriptedDialer: `close` ends it from either side."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._is_closed = False

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._ended()


class ScriptedSession:
    """A session of a ScriptedDialer."""

    def __init__(self, dialer: ScriptedDialer) -> None:
        self._dialer = dialer
        self.client = cast("Client", object())

    async def probe(self) -> ClusterIdentity:
        dialer = self._dialer
        dialer.probes += 1
        dialer.probed_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(3600 if dialer.condition is Condition.FROZEN else dialer.latency_s)
        error = ERRORS.get(dialer.condition)
        if dialer.condition is Condition.BROKEN_ONCE:
            dialer.condition = Condition.HEALTHY
        if error is not None:
            raise error
        return dialer.cluster


ERRORS: dict[Condition, RPCError] = {
    Condition.REFUSED: rpc_error(RPCStatusCode.UNAVAILABLE, "tcp connect error"),
    Condition.BROKEN_ONCE: rpc_error(RPCStatusCode.UNAVAILABLE, "http2 error"),
    Condition.NO_NAMESPACE: rpc_error(
        RPCStatusCode.NOT_FOUND, "Namespace default is not found.", NamespaceNotFoundFailure(namespace="default")
    ),
    Condition.DENIED: rpc_error(RPCStatusCode.PERMISSION_DENIED, "Request unauthorized."),
    Condition.THROTTLED: rpc_error(RPCStatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded"),
    Condition.NOT_SERVING: rpc_error(RPCStatusCode.UNAVAILABLE, "Not enough hosts to serve the request"),
}


@dataclass
class Run:
    """One workflow in InMemoryGateway."""

    run_id: RunId
    started_at: datetime
    state: RunState = RunState.OPEN
    closed_at: datetime | None = None
    failure: str = ""
    result: str = ""
    is_cancel_requested: bool = False
    pending_task: PendingTask | None = None
    pending_activities: tuple[PendingActivity, ...] = ()
    pause: TemporalPause | None = None
    task_failure: TaskFailure | None = None


class InMemoryGateway:
    """The calls of `Gateway`, kept in a dictionary; `trouble` is raised by every call while it is set."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._count = 0
        self.runs: dict[WorkflowId, Run] = {}
        self.starts: list[WorkflowId] = []
        self.asked: list[WorkflowId] = []
        self.trouble: StigmerError | None = None
        self.live: list[Poller] = []
        self.limit: QueueLimit | None = None
        self.limits_asked = 0

    async def start(self, workflow: WorkflowName, *, timeout_s: float | None) -> Started:
        self._feel()
        assert timeout_s is None or timeout_s > 0
        name = workflow.id
        self.starts.append(name)
        if name in self.runs:
            return Started(run_id=self.runs[name].run_id, already=True)
        self._count += 1
        run = Run(run_id=RunId(f"00000000-0000-7000-8000-{self._count:012d}"), started_at=self._clock.now())
        self.runs[name] = run
        return Started(run_id=run.run_id, already=False)

    async def describe(self, workflow: WorkflowName) -> Observed | None:
        self._feel()
        name = workflow.id
        self.asked.append(name)
        run = self.runs.get(name)
        if run is None:
            return None
        return Observed(
            state=run.state,
            run_id=run.run_id,
            started_at=run.started_at,
            closed_at=run.closed_at,
            pending_task=run.pending_task,
            pending_activities=run.pending_activities,
            pause=run.pause,
        )

    async def result_failure(self, workflow: WorkflowName) -> str:
        self._feel()
        run = self.runs.get(workflow.id)
        if run is None:
            raise WorkflowMissing("Temporal has no such workflow")
        return run.failure

    async def result(self, workflow: WorkflowName) -> str:
        self._feel()
        run = self.runs.get(workflow.id)
        if run is None:
            raise WorkflowMissing("Temporal has no such workflow")
        return run.result

    async def cancel(self, workflow: WorkflowName) -> bool:
        self._feel()
        run = self.runs.get(workflow.id)
        if run is None or run.state is not RunState.OPEN:
            return False
        run.is_cancel_requested = True
        return True

    async def task_failure(self, workflow: WorkflowName) -> TaskFailure | None:
        self._feel()
        run = self.runs.get(workflow.id)
        return None if run is None else run.task_failure

    async def terminate(self, workflow: WorkflowName, *, reason: str) -> bool:
        self._feel()
        run = self.runs.get(workflow.id)
        if run is None or run.state is not RunState.OPEN:
            return False
        run.state, run.closed_at = RunState.TERMINATED, self._clock.now()
        run.failure = f"the run was terminated in Temporal by somebody: {reason}"
        return True

    async def pollers(self) -> Sequence[Poller]:
        self._feel()
        return tuple(self.live)

    async def queue_limit(self) -> QueueLimit | None:
        self._feel()
        self.limits_asked += 1
        return self.limit

    async def backlog(self) -> int:
        self._feel()
        return 0 if self.live else sum(run.state is RunState.OPEN for run in self.runs.values())

    # -- what a test does to it

    def close(self, name: WorkflowId, state: RunState, failure: str = "") -> None:
        """End a workflow."""
        run = self.runs[name]
        run.state, run.failure, run.closed_at = state, failure, self._clock.now()

    def forget(self) -> None:
        """Lose all workflows, as a restart in memory does."""
        self.runs.clear()

    def be_unreachable(self) -> None:
        self.trouble = TemporalUnavailable("Temporal at 127.0.0.1:7233 cannot be reached (connection refused)")

    def lose_namespace(self) -> None:
        self.trouble = Misconfigured('Temporal at 127.0.0.1:7233 has no namespace "default"')

    def be_fine(self) -> None:
        self.trouble = None

    def _feel(self) -> None:
        if self.trouble is not None:
            raise self.trouble
