"""A server as the runner sees it, that behaves: in memory, or over HTTP on a port that may go away and come back."""

import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from pydantic import JsonValue

from stigmer_cli.api.children import ChildRequest, ChildResponse
from stigmer_cli.api.cloud_events import ListenRequest, ListenResponse
from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.api.reports import ClaimAnswer, ClaimingAttemptResponse, CountsResponse, MessageTail, Work
from stigmer_cli.api.steps import BeginStepResponse, CutOffRequest, CutOffResponse, EndedStepBody, StepPage
from stigmer_cli.api.tasks import TaskReportBody, TasksReport
from stigmer_cli.api.waiting import WaitRequest
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.identity import runner_process, task_queue_of
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, ServerUnavailable
from tests.support.ids import STORE, workflow
from tests.support.machine_load import slack

CRASH_COST_MAX_S = 5.0
"""From the death of a runner until another attempt is on."""


def crash_cost_max_s() -> float:
    """The promise, which is one of a machine that has processors to spare."""
    return CRASH_COST_MAX_S * slack()


@dataclass
class Row:
    """One execution, and a ledger of all that was asked about it."""

    work: Work
    epoch: int = 1
    phase: Phase = Phase.PENDING
    claimed_run: str | None = None
    attempt: int = 0
    begun: int = 0
    text: str = ""
    output: str | None = None
    error: str | None = None
    finishes: int = 0
    postponed: list[dict[str, object]] = field(default_factory=list)
    """Attempts that ended at a busy model, as they were reported."""
    runners: list[str] = field(default_factory=list)
    refused: int = 0
    usages: list[TokenUsage | None] = field(default_factory=list)
    steps: list[EndedStepBody] = field(default_factory=list)
    waits: list[WaitRequest] = field(default_factory=list)
    tasks: list[list[TaskReportBody]] = field(default_factory=list)
    """The reports of tasks of a workflow, those with an outcome or a wait among them."""
    error_fields: Mapping[str, JsonValue] | None = None


class InMemoryReports:
    """Claims, attempts and outcomes as the server keeps them; `is_away` makes every call fail like a dead server."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.secrets: dict[str, str] = {}
        self.is_away = False
        self._lock = threading.Lock()

    def add(self, execution: str, *, message: str = "hello", model: str = "echo") -> Row:
        row = Row(work=Work(instructions="", message=message, model=model, agent_name="a"))
        self.rows[execution] = row
        return row

    async def resolve_secrets(self, names: Sequence[str]) -> Mapping[str, str]:
        return {name: self.secrets[name] for name in names if name in self.secrets}

    async def identity(self, _load: RunnerLoad | None = None) -> Identity:
        return self.identity_now()

    async def claim(
        self, execution: str, *, epoch: int, run: str, runner: str, workflow: str, first_run: str
    ) -> ClaimAnswer:
        return self.claim_now(execution, epoch=epoch, run=run, runner=runner, workflow_id=workflow, first_run=first_run)

    async def claim_and_begin(
        self, execution: str, *, epoch: int, run: str, runner: str, workflow: str, first_run: str, attempt: int
    ) -> ClaimingAttemptResponse:
        return self.claim_and_begin_now(
            execution, epoch=epoch, run=run, runner=runner, workflow_id=workflow, first_run=first_run, attempt=attempt
        )

    async def begin_attempt(self, execution: str, *, epoch: int, run: str, attempt: int, runner: str) -> Work | None:
        return self.begin_now(execution, epoch=epoch, run=run, attempt=attempt, runner=runner)

    async def append_message(
        self, execution: str, *, epoch: int, run: str, attempt: int, index: int, offset: int, role: str, text: str
    ) -> bool:
        return self.append_now(
            execution, epoch=epoch, run=run, attempt=attempt, index=index, offset=offset, role=role, text=text
        )

    async def count_attempts(self, execution: str) -> CountsResponse:
        return self.counts_now(execution)

    async def postpone(
        self,
        execution: str,
        *,
        epoch: int,
        run: str,
        attempt: int,
        cause: str,
        delay_s: float,
        busy_s: float,
        broke_off: bool,
    ) -> bool:
        return self.postpone_now(
            execution,
            epoch=epoch,
            run=run,
            attempt=attempt,
            cause=cause,
            delay_s=delay_s,
            busy_s=busy_s,
            broke_off=broke_off,
        )

    async def finish(
        self,
        execution: str,
        *,
        epoch: int,
        run: str,
        attempt: int | None,
        phase: Phase,
        output: str | None,
        error: str | None,
        usage: TokenUsage | None = None,
        tail: MessageTail | None = None,
        steps: Sequence[EndedStepBody] = (),
        tasks: Sequence[TaskReportBody] = (),
        error_fields: Mapping[str, JsonValue] | None = None,
    ) -> bool:
        if not self.finish_now(
            execution,
            epoch=epoch,
            run=run,
            attempt=attempt,
            phase=phase,
            output=output,
            error=error,
            tail=tail.to_wire() if tail else None,
        ):
            return False
        self.rows[execution].usages.append(usage)
        self.rows[execution].steps += steps
        self.rows[execution].tasks.append(list(tasks))
        self.rows[execution].error_fields = error_fields
        return True

    async def begin_step(self, execution: str, **_told: object) -> BeginStepResponse:
        raise NotFound(f"{execution}: a server from before there were journals has no such path")

    async def finish_step(self, execution: str, **_told: object) -> bool:
        raise NotFound(f"{execution}: a server from before there were journals has no such path")

    async def cut_off_steps(self, execution: str, request: CutOffRequest) -> CutOffResponse:  # noqa: ARG002 - the seam's
        raise NotFound(f"{execution}: a server from before there were journals has no such path")

    async def wait(self, execution: str, request: WaitRequest) -> bool:
        with self._lock:
            row = self._row(execution)
            if not self._holds(row, request.epoch, request.run) or request.attempt != row.attempt:
                return False
            row.waits.append(request)
            row.tasks.append(request.tasks)
            return True

    async def report_tasks(self, execution: str, report: TasksReport) -> bool:
        with self._lock:
            row = self._row(execution)
            if not self._holds(row, report.epoch, report.run) or report.attempt != row.attempt:
                return False
            row.tasks.append(report.tasks)
            return True

    async def read_decisions(self, _execution: str) -> Sequence[DecisionBody]:
        return []

    async def listen(self, execution: str, request: ListenRequest) -> ListenResponse:
        raise NotFound(f"{execution}: {request} finds no events here")

    async def start_child(self, execution: str, request: ChildRequest) -> ChildResponse:
        raise NotFound(f"{execution}: {request.key} finds no other execution here")

    async def publish(self, event: Mapping[str, object]) -> None:
        raise NotFound(f"{event}: nobody keeps events here")

    async def read_recorded_steps(self, execution: str, **_told: object) -> StepPage:
        raise NotFound(f"{execution}: a server from before there were journals has no such path")

    async def add_usage(self, execution: str, *, epoch: int, run: str, attempt: int, usage: TokenUsage) -> bool:
        with self._lock:
            row = self._row(execution)
            if not self._holds(row, epoch, run) or attempt != row.attempt:
                return False
            row.usages.append(usage)
            return True

    def identity_now(self) -> Identity:
        if self.is_away:
            raise ServerUnavailable("the server is away")
        return Identity(
            server_id="srv-01kqrxnp6m8w8t6e3d2m5k7j9z",
            store_id=STORE,
            version=version("stigmer-cli"),
            namespace="default",
            task_queues=[task_queue_of(STORE)],
            now=datetime.now(UTC),
        )

    def claim_now(
        self, execution: str, *, epoch: int, run: str, runner: str, workflow_id: str, first_run: str
    ) -> ClaimAnswer:
        with self._lock:
            if execution not in self.rows or workflow_id != workflow(execution, epoch).id:
                return ClaimAnswer.NOT_MINE
            assert first_run, "a run names its chain"
            row = self._row(execution)
            won = row.epoch == epoch and row.claimed_run in (None, run) and not row.phase.is_terminal
            if won:
                row.claimed_run, row.phase = run, Phase.IN_PROGRESS
                row.runners.append(runner)
            return ClaimAnswer.WON if won else ClaimAnswer.LOST

    def claim_and_begin_now(
        self, execution: str, *, epoch: int, run: str, runner: str, workflow_id: str, first_run: str, attempt: int
    ) -> ClaimingAttemptResponse:
        if self.is_away:
            raise ServerUnavailable("the server is away")
        row = self.rows.get(execution)
        if row is not None and (row.claimed_run, row.epoch) == (run, epoch):
            answer = ClaimAnswer.WON
        else:
            names = {"workflow_id": workflow_id, "first_run": first_run}
            answer = self.claim_now(execution, epoch=epoch, run=run, runner=runner, **names)
        if answer is not ClaimAnswer.WON:
            return ClaimingAttemptResponse(answer=answer, work=None)
        work = self.begin_now(execution, epoch=epoch, run=run, attempt=attempt, runner=runner)
        row = self._row(execution)
        is_overtaken = work is None and self._holds(row, epoch, run) and attempt < row.attempt
        return ClaimingAttemptResponse(answer=answer, work=work, is_overtaken=is_overtaken)

    def begin_now(self, execution: str, *, epoch: int, run: str, attempt: int, runner: str) -> Work | None:
        with self._lock:
            row = self._row(execution)
            if not self._holds(row, epoch, run) or attempt < row.attempt:
                return None
            row.begun += attempt != row.attempt
            row.attempt, row.text = attempt, ""
            row.runners.append(runner)
            processes = {runner_process(name) for name in row.runners}
            last = row.postponed[-1] if row.postponed else None
            counts = {
                "begun": max(1, row.begun - len(row.postponed)),
                "processes": len(processes),
                "model_tries": len(row.postponed),
                "broken_off": sum(bool(one["broke_off"]) for one in row.postponed),
                "model_busy_since": last and last["at"],
                "model_busy_s": last["busy_s"] if last else 0.0,
            }
            return row.work.model_copy(update=counts)

    def counts_now(self, execution: str) -> CountsResponse:
        with self._lock:
            row = self._row(execution)
            processes = {runner_process(name) for name in row.runners}
            begun = max(1, row.begun - len(row.postponed))
            return CountsResponse(begun=begun, processes=max(1, len(processes)), model_tries=len(row.postponed))

    def postpone_now(self, execution: str, *, epoch: int, run: str, attempt: int, **told: object) -> bool:
        with self._lock:
            row = self._row(execution)
            if not self._holds(row, epoch, run) or attempt != row.attempt:
                row.refused += 1
                return False
            row.postponed.append({**told, "attempt": attempt, "at": datetime.now(UTC)})
            return True

    def append_now(
        self, execution: str, *, epoch: int, run: str, attempt: int, index: int, offset: int, role: str, text: str
    ) -> bool:
        with self._lock:
            row = self._row(execution)
            if not self._holds(row, epoch, run) or attempt != row.attempt:
                row.refused += 1
                return False
            assert (index, role) == (0, "assistant")
            assert offset <= len(row.text), "a hole in the message"
            row.text = row.text[:offset] + text
            return True

    def finish_now(
        self,
        execution: str,
        *,
        epoch: int,
        run: str,
        attempt: int | None,
        phase: Phase,
        output: str | None,
        error: str | None,
        tail: Mapping[str, Any] | None = None,
        usage: object = None,  # noqa: ARG002 - a runner behind HTTP sends the field, and tests ask about it elsewhere
    ) -> bool:
        with self._lock:
            row = self._row(execution)
            if not self._holds(row, epoch, run) or attempt not in (None, row.attempt):
                row.refused += 1
                return False
            if tail:
                row.text = row.text[: tail["offset"]] + tail["text"]
            row.phase, row.output, row.error = phase, output, error
            row.finishes += 1
            return True

    def _row(self, execution: str) -> Row:
        if self.is_away:
            raise ServerUnavailable("the server is away")
        return self.rows[execution]

    @staticmethod
    def _holds(row: Row, epoch: int, run: str) -> bool:
        return row.epoch == epoch and row.claimed_run == run and not row.phase.is_terminal


class ClosableServer(ThreadingHTTPServer):
    """A server whose end is felt by those who are connected, too."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._connections: list[socket.socket] = []
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def server_close(self) -> None:
        super().server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class ReportServer:
    """`InMemoryReports` behind the server's own wire, for runners that are processes of their own."""

    def __init__(self, reports: InMemoryReports, port: int) -> None:
        self.reports = reports
        self.port = port
        self._http: ClosableServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        routes: dict[str, Callable[..., Any]] = {
            "claim": lambda e, **b: _claim(self.reports, e, b),
            "claimed-attempts": lambda e, **b: self.reports.claim_and_begin_now(e, **_snake(b)).to_wire(),
            "attempts": lambda e, **b: {"work": _wire(self.reports.begin_now(e, **b))},
            "messages": lambda e, **b: {"taken": self.reports.append_now(e, **b)},
            "postponements": lambda e, **b: {"taken": self.reports.postpone_now(e, **_snake(b))},
            "outcome": lambda e, **b: {"taken": self.reports.finish_now(e, **{**b, "phase": Phase(b["phase"])})},
        }

        identity, counts = self.reports.identity_now, self.reports.counts_now

        class Route(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path.endswith("/attempts"):
                    self._answer(counts(path.split("/")[3]).to_wire())
                    return
                assert path == "/v1/identity", self.path
                self._answer(identity().to_wire())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/secrets:resolve":
                    self._answer({"values": {}})
                    return
                _, _, _, execution, verb = self.path.split("/")
                self._answer(routes[verb](execution, **body))

            def _answer(self, found: object) -> None:
                answer = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._http = ClosableServer(("127.0.0.1", self.port), Route)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
            self._http = self._thread = None


def _claim(reports: InMemoryReports, execution: str, body: Mapping[str, Any]) -> dict[str, object]:
    names = {"workflowId": "workflow_id", "firstRun": "first_run"}
    answer = reports.claim_now(execution, **{names.get(name, name): value for name, value in body.items()})
    return {"won": answer is ClaimAnswer.WON, "reason": answer}


def _snake(body: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "delayS": "delay_s",
        "busyS": "busy_s",
        "brokeOff": "broke_off",
        "workflowId": "workflow_id",
        "firstRun": "first_run",
    }
    return {names.get(name, name): value for name, value in body.items()}


def _wire(work: Work | None) -> dict[str, object] | None:
    return None if work is None else work.to_wire()
