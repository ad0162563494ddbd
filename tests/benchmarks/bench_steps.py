"""What a step costs: begin and finish beside a bare request of the same server, and the replay of a long journal.

A real server on a real file, without a Temporal. One client that waits for each answer, as the loop of an agent does.
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.step import Effect, StepKind
from stigmer_cli.run_reports import RunReports
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.journal import Journal, Json, StepCall
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from tests.benchmarks.report import Benchmark, Row
from tests.support.running_server import accept, make_agent, served
from tests.support.temporal_server import free_port

STEPS, QUICK_STEPS = 1_000, 200
STEP_MAX_MS = 10.0
REPLAY_MAX_S = 1.0
RESULT = "x" * 2_000
RUN = "run-1"


async def _answer() -> Json:
    return RESULT


def _call(number: int) -> StepCall:
    return StepCall(key=f"/{number}", kind=StepKind.TOOL, name="t", effect=Effect.ONCE, input={"number": number})


async def _took_s(call: Callable[[], Awaitable[object]]) -> float:
    since = time.perf_counter()
    await call()
    return time.perf_counter() - since


async def _claimed(client: Client) -> str:
    accepted = await accept(client, "a key")
    names = {"workflow": accepted.status.dispatch.workflow_id, "first_run": RUN}
    await RunReports(client).claim(accepted.metadata.id, epoch=1, run=RUN, runner="r", **names)
    return accepted.metadata.id


async def _journal(client: Client, execution: str, number: int) -> Journal:
    reports, clock_and_rng = RunReports(client), ClockAndRng(clock=SystemClock(), rng=random.Random())
    work = await reports.begin_attempt(execution, epoch=1, run=RUN, attempt=number, runner="r")
    attempt = Attempt(execution=execution, epoch=1, run=RUN, workflow="w", first_run=RUN, number=number, runner="r")
    has_steps = bool(work and work.has_steps)
    return Journal(attempt, Reporter(reports, clock_and_rng), clock_and_rng, has_steps=has_steps)


async def measure_steps(steps: int) -> tuple[list[float], list[float], float]:
    """Seconds of each step and of each bare request, in turns, and of the replay of all the steps."""
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder), f"127.0.0.1:{free_port()}") as server, server.client() as client:
            await make_agent(client)
            execution = await _claimed(client)
            journal = await _journal(client, execution, 1)
            performed, bare = [], []
            for number in range(steps):
                performed.append(await _took_s(lambda number=number: journal.perform(_call(number), _answer)))  # type: ignore[misc]
                bare.append(await _took_s(client.identity))
            later = await _journal(client, execution, 2)

            async def replay() -> None:
                for number in range(steps):
                    await later.perform(_call(number), _answer)

            return performed, bare, await _took_s(replay)


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Milliseconds of a step, and seconds of a replay."""
    steps = QUICK_STEPS if is_quick else STEPS
    performed, bare, replay_s = asyncio.run(measure_steps(steps))
    step_ms, bare_ms = statistics.median(performed) * 1_000, statistics.median(bare) * 1_000
    return [
        Row(what="begin and finish of a step, p50", measured=step_ms, unit="ms", budget=STEP_MAX_MS),
        Row(
            what="begin and finish of a step, p50",
            measured=step_ms,
            unit="ms",
            reference="GET /v1/identity of the same server",
            beside=bare_ms,
        ),
        Row(
            what=f"replay of {steps:,} steps with 2 kB each",
            measured=replay_s,
            unit="s",
            budget=REPLAY_MAX_S,
        ),
    ]


BENCHMARK = Benchmark(
    name="steps",
    about="What recording a step costs, beside a bare request of the same server, and the replay of a long journal.",
    run=run,
)
