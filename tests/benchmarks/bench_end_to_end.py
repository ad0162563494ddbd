"""How many executions of the model echo a stack takes from request to answer, beside a bare workflow in the same run.

Twenty clients at once, each of which waits for its answer before it asks again. The bare workflow has one activity, on
a worker of its own, on the same Temporal, started and awaited by the same process. Rounds of both alternate.
"""

import asyncio
import itertools
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from temporalio.client import Client as SdkClient

from stigmer_cli.api.resources import ExecutionRequest, ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.errors import ServerBusy
from tests.benchmarks import bare_worker
from tests.benchmarks.bare import at_once
from tests.benchmarks.report import Benchmark, Row
from tests.support.installed import Stigmer, installed

WIDTH = 20
RATE_MIN = 0.8
SERVER_MAX_MS = 20.0
TEMPORAL, SERVER, RUNNER, WORKER = "temporal", "server", "runner", "bare worker"
OURS, BARE = "executions end to end (echo), 20 at once", "bare workflow with one activity"
PARTS: Mapping[str, tuple[str, str]] = {
    TEMPORAL: ("CPU of Temporal, each", TEMPORAL),
    RUNNER: ("CPU of the runner, each", WORKER),
}
"""Parts of the stack, what their row is called, and the process beside them."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many of each kind are performed in a round, and how many rounds."""

    each: int
    rounds: int


FULL, QUICK = Size(each=60, rounds=5), Size(each=60, rounds=2)


@dataclass
class Totals:
    """Seconds, number, and seconds of processor by process, of one kind."""

    took_s: float = 0.0
    number: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.number / self.took_s

    def cpu_ms(self, process: str) -> float:
        """Milliseconds of processor for each."""
        return self.cpu_s[process] * 1000 / self.number


def _cpu_s(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    times = {name: process.cpu_times() for name, process in processes.items()}
    return {name: found.user + found.system for name, found in times.items()}


async def _measure(
    call: Callable[[], Awaitable[object]], number: int, processes: Mapping[str, psutil.Process], into: Totals
) -> None:
    before = _cpu_s(processes)
    into.took_s += await at_once(itertools.repeat(call, number), WIDTH)
    into.number += number
    for name, after_s in _cpu_s(processes).items():
        into.cpu_s[name] = into.cpu_s.get(name, 0.0) + after_s - before[name]


async def _perform(client: Client) -> None:
    """One execution, from the request to the end of its timeline."""
    execution = await _create(client, ExecutionRequest(agent="greeter", message="hello"), str(uuid.uuid4()))
    async for _event in client.follow(execution.metadata.id, after=0):
        pass


async def _create(client: Client, request: ExecutionRequest, key: str) -> ExecutionResource:
    """The accepted execution; on a busy machine it is asked for again, as a command does."""
    while True:
        try:
            return await client.create_execution(request, idempotency_key=key, require_temporal=False)
        except ServerBusy as error:
            await asyncio.sleep(error.retry_after_s)


async def _bare(client: SdkClient) -> None:
    await client.execute_workflow("bare", "hello", id=str(uuid.uuid4()), task_queue=bare_worker.QUEUE)


async def _run_rounds(stigmer: Stigmer, size: Size) -> tuple[Totals, Totals]:
    address, pids = f"127.0.0.1:{stigmer.environment['STIGMER_TEMPORAL_PORT']}", stigmer.pids()
    processes = {name: psutil.Process(pids[name]) for name in (TEMPORAL, SERVER, RUNNER)}
    token = (stigmer.home / "token").read_text().strip()
    sdk, ours, bare = await SdkClient.connect(address), Totals(), Totals()
    with bare_worker.running(address) as worker:
        async with Client(f"http://127.0.0.1:{stigmer.environment['STIGMER_SERVER_PORT']}", lambda: token) as client:
            for number in range(size.rounds + 1):
                into = (ours, bare) if number else (Totals(), Totals())  # the first round warms up
                await _measure(lambda: _perform(client), size.each, processes, into[0])
                beside = {TEMPORAL: processes[TEMPORAL], WORKER: worker}
                await _measure(lambda: _bare(sdk), size.each, beside, into[1])
    return ours, bare


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Executions a second, and milliseconds of processor for each."""
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder) / "home") as stigmer:
        stigmer.ok("up")
        stigmer.apply_agent()
        ours, bare = asyncio.run(_run_rounds(stigmer, QUICK if is_quick else FULL))
    return [
        Row(
            what=OURS,
            measured=ours.rate,
            unit="a second",
            reference=BARE,
            beside=bare.rate,
            budget=RATE_MIN,
            is_rate=True,
        ),
        *(
            Row(
                what=what,
                measured=ours.cpu_ms(part),
                unit="ms",
                reference=f"{BARE}: {beside}",
                beside=bare.cpu_ms(beside),
            )
            for part, (what, beside) in PARTS.items()
        ),
        Row(what="CPU of the server, each", measured=ours.cpu_ms(SERVER), unit="ms", budget=SERVER_MAX_MS),
    ]


BENCHMARK = Benchmark(
    name="end_to_end",
    about="Executions from request to answer, beside a bare workflow with one activity on the same Temporal.",
    run=run,
)
