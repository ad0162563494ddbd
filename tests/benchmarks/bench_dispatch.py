"""How fast executions reach a Temporal that was away, beside a bare SDK client in the same run.

Queues N executions while Temporal is down, brings it back, and reads from the store when each was submitted. Before and
after, the same Temporal is killed and brought back in the same way, and the bare client makes N starts as soon as it
serves: a machine whose speed drifts does so for both. Each round has a stack and a Temporal of its own.

Then, in several outages: how soon a killed or frozen Temporal is noticed, and how soon one that serves again is
connected. Times come from the server's own records, so that no polling of this script is in them.
"""

import asyncio
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.client import Client
from tests.benchmarks.bare import at_once, p, starts, until_serving
from tests.benchmarks.report import Benchmark, Row
from tests.support.polling import eventually
from tests.support.running_server import Served, accept, make_agent, served
from tests.support.temporal_server import DevServer

CLIENTS = 8
LATENCIES = 200
DRAIN_MAX_S = 300.0
LOOK_S = 0.5
MAX_TIMES = 1.1
Samples = dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many executions are queued, in how many rounds, and how many outages follow."""

    queued: int
    rounds: int
    outages: int


FULL, QUICK = Size(queued=1000, rounds=5, outages=12), Size(queued=LATENCIES + 50, rounds=1, outages=3)


async def _state(client: Client) -> tuple[ConnectionState, float]:
    seen = (await client.health()).temporal
    return ConnectionState(seen.state), seen.since.timestamp()


async def _until(client: Client, is_so: Callable[[ConnectionState], bool]) -> float:
    """When the server entered the state that is waited for, by its own clock."""

    async def look() -> float:
        state, since = await _state(client)
        return since if is_so(state) else 0.0

    return await eventually(look, within_s=30)


def _is_lost(state: ConnectionState) -> bool:
    return state is not ConnectionState.CONNECTED


def _is_connected(state: ConnectionState) -> bool:
    return state is ConnectionState.CONNECTED


def _submitted_at(server: Served) -> list[float | None]:
    """When each execution was submitted, in seconds since 1970; None: not yet."""
    with closing(sqlite3.connect(server.home / "data" / "stigmer.db")) as store:
        rows = store.execute("SELECT submitted_at FROM executions").fetchall()
    return [None if at is None else at / 1e6 for (at,) in rows]


async def _posts(client: Client, number: int, name: str) -> list[float]:
    """Milliseconds of so many submits, one after another."""
    taken = []
    for index in range(number):
        begun = time.perf_counter()
        await accept(client, f"{name}-{index}")
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def _queue(client: Client, number: int, name: str) -> None:
    def post(index: int) -> Callable[[], Awaitable[object]]:
        return lambda: accept(client, f"{name}-{index}")

    await at_once(map(post, range(number)), CLIENTS)


async def _drain(folder: Path, queued: int, samples: Samples) -> None:
    """One round: queue while Temporal is away, bring it back, and see how soon all are there."""
    await asyncio.to_thread(folder.mkdir)
    with DevServer(folder, file=folder / "temporal.db") as temporal:
        temporal.start()
        await until_serving(temporal.address)
        async with served(folder, temporal.address) as server, server.client() as client:
            await make_agent(client)
            await _until(client, _is_connected)
            await _posts(client, 20, "warm")
            samples[SUBMIT] += await _posts(client, LATENCIES, "up")
            samples[BARE].append(await _bare(temporal, queued))
            await _until(client, _is_connected)
            temporal.kill()
            await _until(client, _is_lost)
            samples[SUBMIT_AWAY] += await _posts(client, LATENCIES, "down")
            await _queue(client, queued - LATENCIES, "queued")
            before = sum(at is not None for at in _submitted_at(server))
            temporal.start()
            serving_at = await until_serving(temporal.address)

            while len(times := [at for at in _submitted_at(server) if at is not None]) < before + queued:
                assert time.time() < serving_at + DRAIN_MAX_S, f"{len(times) - before} of {queued} submitted"
                await asyncio.sleep(LOOK_S)  # seldom: this script must not take the CPU that it measures
            times = sorted(times)[before:]
            samples[FIRST].append(times[0] - serving_at)
            samples[ALL].append(times[-1] - serving_at)
            samples[BARE].append(await _bare(temporal, queued))


async def _bare(temporal: DevServer, number: int) -> float:
    """Seconds from when a Temporal that was killed serves again until a bare client has made `number` starts."""
    temporal.kill()
    temporal.start()
    serving_at = await until_serving(temporal.address)
    await starts(temporal.address, number)
    return time.time() - serving_at


async def _outages(folder: Path, outages: int, samples: Samples) -> None:
    await asyncio.to_thread(folder.mkdir)
    with DevServer(folder, file=folder / "temporal.db") as temporal:
        temporal.start()
        async with served(folder, temporal.address) as server, server.client() as client:
            await make_agent(client)
            for number in range(outages):
                await _until(client, _is_connected)
                temporal.kill()
                called_at = time.time()
                await accept(client, f"seen-{number}")
                samples[KILLED].append(await _until(client, _is_lost) - called_at)
                await asyncio.sleep(number % 4)
                temporal.start()
                serving_at = await until_serving(temporal.address)
                samples[BACK].append(await _until(client, _is_connected) - serving_at)
            for _ in range(max(1, outages // 3)):
                await _until(client, _is_connected)
                frozen_at = time.time()
                temporal.freeze()
                samples[FROZEN].append(await _until(client, _is_lost) - frozen_at)
                temporal.thaw()


async def _measure(root: Path, size: Size) -> Samples:
    samples: Samples = {name: [] for name in NAMES}
    for number in range(size.rounds):
        await _drain(root / f"drain-{number}", size.queued, samples)
    await _outages(root / "outages", size.outages, samples)
    return samples


BARE = "bare SDK client"
ALL = "the whole queue submitted, after Temporal serves"
FIRST = "first of the queue submitted after Temporal serves, s"
SUBMIT, SUBMIT_AWAY = "submit while Temporal is there, ms", "submit while Temporal is away, ms"
KILLED, FROZEN = "killed Temporal: noticed after the next call, s", "frozen Temporal: noticed, s"
BACK = "Temporal is back: connected after it serves, s"
NAMES = (BARE, ALL, FIRST, SUBMIT, SUBMIT_AWAY, KILLED, FROZEN, BACK)


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """The queue beside the bare client, and the times of an outage."""
    root = Path(tempfile.mkdtemp(prefix="stigmer-bench-"))
    try:
        samples = asyncio.run(_measure(root, QUICK if is_quick else FULL))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    both = zip(samples[ALL], zip(*[iter(samples[BARE])] * 2, strict=True), strict=True)
    pairs = sorted((all_s / statistics.mean(bare), all_s, statistics.mean(bare)) for all_s, bare in both)
    _, all_s, bare_s = pairs[len(pairs) // 2]
    rows = [Row(what=ALL, measured=all_s, unit="s", reference=BARE, beside=bare_s, budget=MAX_TIMES)]
    for name in NAMES[2:]:
        what, _, unit = name.partition(", ")
        rows.append(Row(what=f"{what} (median)", measured=statistics.median(samples[name]), unit=unit))
        rows.append(Row(what=f"{what} (p99)", measured=p(samples[name], 99), unit=unit))
    return rows


BENCHMARK = Benchmark(
    name="dispatch",
    about="How fast executions reach a Temporal that was away, beside a bare SDK client.",
    run=run,
)
