"""A real Temporal, a server that behaves, and runners as processes of their own."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from temporalio.service import RPCError

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.temporal.connection import Connection, Target
from stigmer_cli.temporal.errors import TemporalUnavailable
from stigmer_cli.temporal.gateway import Gateway, Observed, RunState, Started
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.runtime import Functions
from tests.integration.runner.looping_agent import Agent
from tests.support.blocked_loops import refuse_blocks
from tests.support.fakes_runner import InMemoryReports, ReportServer, Row
from tests.support.freezing import freeze
from tests.support.ids import STORE, workflow
from tests.support.model_endpoint import Endpoint, model_endpoint
from tests.support.polling import eventually
from tests.support.temporal_server import DevServer, die_with_parent, free_port, kill_group

TEMPORAL_MAX_S = 15.0
STARTED_MAX_S = 30.0
"""Until a process of the test has come up and does its first work; it proves nothing by being quick."""

DESCRIBE_MAX_S = 2.0
FAKE_TOKEN = "t"
RUNNER = """
import asyncio, os
from pathlib import Path
from stigmer_cli import log
from stigmer_cli.clock import SystemClock
from stigmer_cli.runner.worker import run_runner
from stigmer_cli.settings import load

settings = load({}, os.environ, user_home=Path(os.environ["STIGMER_HOME"]))
log.configure("runner", settings.log_level)
os._exit(asyncio.run(run_runner(settings, clock=SystemClock())))  # as the command does
"""


class RunnerProcess:
    """A runner as `stigmer work` starts it, and its log lines."""

    def __init__(
        self, home: Path, temporal: str, server: str, number: int, *, program: str = RUNNER, token: str = FAKE_TOKEN
    ) -> None:
        self.log = home / f"runner-{number}.log"
        environment = {
            **os.environ,
            "STIGMER_HOME": str(home),
            "STIGMER_TEMPORAL_ADDRESS": temporal,
            "STIGMER_SERVER_URL": server,
            "STIGMER_TOKEN": token,
            # A stand-in for a server proves nothing.
            **({"STIGMER_INSECURE_HTTP": "true"} if token == FAKE_TOKEN else {}),
        }
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program],
                env=environment,
                stderr=file,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
            )

    def events(self) -> list[dict[str, object]]:
        """Its log lines, as far as they are whole."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n") and line.startswith("{")]

    def says(self, event: str, *, times: int = 1) -> bool:
        """Whether it wrote a line about `event`, so often."""
        return sum(line.get("event") == event for line in self.events()) >= times

    def kill(self) -> None:
        """SIGKILL."""
        kill_group(self.process)

    def freeze(self) -> None:
        """SIGSTOP."""
        freeze(self.process.pid)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)


@dataclass
class Harness:
    """Everything a run needs, each part of which a test may hurt."""

    temporal: DevServer
    server: ReportServer
    connection: Connection
    gateway: Gateway
    home: Path
    runners: list[RunnerProcess] = field(default_factory=list)
    count: int = 0

    @property
    def reports(self) -> InMemoryReports:
        return self.server.reports

    def runner(self, *, program: str = RUNNER) -> RunnerProcess:
        """Start one more runner."""
        number = len(self.runners)
        runner = RunnerProcess(self.home, self.temporal.address, self.server.url, number, program=program)
        self.runners.append(runner)
        return runner

    async def submit(
        self, *, message: str = "hello", model: str = "echo", timeout_s: float | None = None
    ) -> tuple[ExecutionId, Row]:
        """Add a row and start its workflow."""
        self.count += 1
        execution = ExecutionId(f"aex-{self.count:026d}")
        row = self.reports.add(execution, message=message, model=model)

        async def started() -> Started:
            return await self.gateway.start(workflow(execution), timeout_s=timeout_s)

        await eventually(started, within_s=TEMPORAL_MAX_S, despite=TemporalUnavailable)
        return execution, row

    async def cancel(self, execution: ExecutionId) -> None:
        """Ask its workflow to end."""
        ask = partial(self.gateway.cancel, workflow(execution))
        await eventually(ask, within_s=TEMPORAL_MAX_S, despite=TemporalUnavailable)

    async def until_activity(self, execution: ExecutionId, name: str, *, within_s: float) -> None:
        """Return when the workflow of `execution` waits for the activity called `name`."""

        async def is_pending() -> bool:
            handle = self.connection.client().get_workflow_handle(workflow(execution).id)
            description = await handle.describe(rpc_timeout=timedelta(seconds=DESCRIBE_MAX_S))
            pending = description.raw_description.pending_activities
            return name in [activity.activity_type.name for activity in pending]

        await eventually(is_pending, within_s=within_s, what=f"{name} pending", despite=(TemporalUnavailable, RPCError))

    async def closed(self, execution: ExecutionId, *, within_s: float) -> Observed:
        """How the workflow of `execution` ended."""

        async def end() -> Observed | None:
            observed = await self.gateway.describe(workflow(execution))
            return observed if observed is not None and observed.state is not RunState.OPEN else None

        return await eventually(end, within_s=within_s, what=f"the end of {execution}", despite=TemporalUnavailable)


@pytest.fixture(autouse=True)
def no_blocked_loop(tmp_path: Path) -> Iterator[None]:
    """No runner of a test here blocks its event loop."""
    yield
    refuse_blocks(tmp_path)


@pytest.fixture
async def evaluator() -> AsyncIterator[Evaluator]:
    made = Evaluator()
    yield made
    await made.close()


@pytest.fixture
async def functions() -> AsyncIterator[Functions]:
    """What workflows can call, with a client that reaches services of the test."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501 - no TLS is spoken
        yield make_functions(client)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with model_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def temporal(tmp_path: Path) -> Iterator[DevServer]:
    with DevServer(tmp_path, file=tmp_path / "temporal.db") as server:
        yield server


@pytest.fixture
async def harness(temporal: DevServer, tmp_path: Path) -> AsyncIterator[Harness]:
    clock = SystemClock()
    target = Target(address=temporal.address)
    connection = Connection(target, clock=clock, rng=random.Random(1), identity="test")
    gateway = Gateway(connection, store=STORE, clock=clock, rng=random.Random(2))
    with ReportServer(InMemoryReports(), free_port()) as server:
        harness = Harness(temporal=temporal, server=server, connection=connection, gateway=gateway, home=tmp_path)
        async with asyncio.TaskGroup() as group:
            owner = group.create_task(connection.run())
            try:
                yield harness
            finally:
                for runner in harness.runners:
                    runner.kill()
                owner.cancel()


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """With tools, and no execution yet."""
    return Agent(tmp_path)
