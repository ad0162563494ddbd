"""What a workflow costs: tasks that compute, calls over HTTP beside the same requests alone, and loops in memory.

A real server on a real file, without a Temporal; the attempt is performed in this process, as a runner performs it.
"""

import asyncio
import gc
import random
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.api.workflows import WorkflowManifest
from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.phase import Phase
from stigmer_cli.run_reports import RunReports
from stigmer_cli.runner.attempt_end import End, report_end
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.workflows import Workflows
from tests.benchmarks.report import Benchmark, Row
from tests.support.http_service import Answer, serve
from tests.support.running_server import Served, served
from tests.support.temporal_server import free_port

TASKS, ROUNDS = 1_000, 100
CALLS, QUICK_CALLS = 100, 30
ITEMS, QUICK_ITEMS = 100_000, 20_000
TASKS_S_MAX = 1.0
CALL_RATIO_MAX, CALL_MORE_MS = 1.3, 10.0
GROWTH_MIB_MAX = 50.0
MIB = 1024 * 1024
RUN = "run-1"


@dataclass
class Stage:
    """A server, and what performs workflows in this process."""

    server: Served
    client: Client
    workflows: Workflows
    reporter: Reporter

    async def perform(self, name: str, do: Sequence[Mapping[str, Any]], *, tasks_max: int = TASKS * 10) -> float:
        """Perform a workflow of these tasks; seconds from the beginning of its attempt to its outcome at the server."""
        about = {"dsl": "1.0.3", "namespace": "bench", "name": name, "version": "1.0.0"}
        manifest = WorkflowManifest(spec={"document": about, "do": list(do)})
        await self.client.apply_workflows([manifest], [])
        accepted = await self.client.create_execution(
            ExecutionRequest(workflow=name), idempotency_key=name, require_temporal=False
        )
        execution, reports = accepted.metadata.id, self.reporter.reports
        names = {"workflow": accepted.status.dispatch.workflow_id, "first_run": RUN}
        await reports.claim(execution, epoch=1, run=RUN, runner="r", **names)
        since = time.perf_counter()
        work = await reports.begin_attempt(execution, epoch=1, run=RUN, attempt=1, runner="r")
        assert work is not None
        assert work.workflow is not None
        work = work.model_copy(update={"workflow": work.workflow.model_copy(update={"tasks_max": tasks_max})})
        attempt = Attempt(execution=execution, epoch=1, run=RUN, workflow="w", first_run=RUN, number=1, runner="r")
        end = await self.workflows.perform(attempt, work)
        assert isinstance(end, End)
        assert end.outcome.phase is Phase.COMPLETED, end.outcome.error
        assert await report_end(self.reporter, attempt, end)
        return time.perf_counter() - since


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    clock_and_rng = ClockAndRng(clock=SystemClock(), rng=random.Random())
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder), f"127.0.0.1:{free_port()}") as server, server.client() as client:
            reporter = Reporter(RunReports(client), clock_and_rng)
            workflows = Workflows(reporter, clock_and_rng)
            try:
                yield Stage(server, client, workflows, reporter)
            finally:
                await workflows.close()


async def measure_tasks(stage: Stage) -> float:
    """Seconds of a workflow of TASKS tasks `set`, each with an expression."""
    tasks = [{f"t{number}": {"set": {"n": "${ .n + 1 }"}}} for number in range(TASKS // ROUNDS)]
    await stage.perform("warm", tasks)
    return await stage.perform("tasks", [{"all": {"for": {"in": f"${{ [range({ROUNDS})] }}"}, "do": tasks}}])


async def measure_calls(stage: Stage, count: int) -> tuple[float, float]:
    """Milliseconds of a call, and of the same request by httpx alone."""
    with serve(lambda _: Answer(data={"n": 1})) as service:
        call = {"call": "http", "with": {"method": "get", "endpoint": f'${{ "{service.address}/\\($item)" }}'}}
        loop = {"for": {"in": f"${{ [range({count})] }}"}, "do": [{"one": call}]}
        took_s = await stage.perform("calls", [{"all": loop}])
        async with httpx.AsyncClient(trust_env=False) as client:
            since = time.perf_counter()
            for number in range(count):
                (await client.get(f"{service.address}/{number}")).json()
            bare_s = time.perf_counter() - since
    return took_s / count * 1_000, bare_s / count * 1_000


async def measure_loop(stage: Stage, count: int) -> tuple[float, float, float]:
    """Seconds of a loop of so many iterations, and by how many MiB this process and the server have grown."""
    loop = {"for": {"in": f"${{ [range({count})] }}"}, "do": [{"one": {"set": {"n": "${ $item }"}}}]}
    assert stage.server.process is not None
    ours, theirs = psutil.Process(), psutil.Process(stage.server.process.pid)
    await stage.perform("warm-loop", [{"all": {**loop, "for": {"in": "${ [range(100)] }"}}}])
    gc.collect()
    before = ours.memory_info().rss, theirs.memory_info().rss
    took_s = await stage.perform("loop", [{"all": loop}], tasks_max=10 * count)
    grown = ours.memory_info().rss - before[0], theirs.memory_info().rss - before[1]
    return took_s, grown[0] / MIB, grown[1] / MIB


async def _measure(*, is_quick: bool) -> Sequence[Row]:
    items = QUICK_ITEMS if is_quick else ITEMS
    async with _stage() as stage:
        tasks_s = await measure_tasks(stage)
        call_ms, bare_ms = await measure_calls(stage, QUICK_CALLS if is_quick else CALLS)
        loop_s, runner_mib, server_mib = await measure_loop(stage, items)
    call_max_ms = CALL_RATIO_MAX * bare_ms + CALL_MORE_MS
    return [
        Row(what=f"{TASKS:,} tasks `set` with an expression each", measured=tasks_s, unit="s", budget=TASKS_S_MAX),
        Row(what="a call over HTTP", measured=call_ms, unit="ms", budget=call_max_ms),
        Row(
            what="a call over HTTP", measured=call_ms, unit="ms", reference="the same with httpx alone", beside=bare_ms
        ),
        Row(what=f"a loop over {items:,} items", measured=loop_s, unit="s"),
        Row(what="the runner grows by", measured=runner_mib, unit="MiB", budget=GROWTH_MIB_MAX),
        Row(what="the server grows by", measured=server_mib, unit="MiB", budget=GROWTH_MIB_MAX),
    ]


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Seconds of tasks, milliseconds of calls, and mebibytes of a loop."""
    return asyncio.run(_measure(is_quick=is_quick))


BENCHMARK = Benchmark(
    name="workflow",
    about="What tasks of a workflow cost on a runner: those that compute, calls over HTTP, and a long loop in memory.",
    run=run,
)
