"""What a stack does under twice the executions that it can bear: throughput, answers, refusals, memory, doctor.

First the maximum: as many executions as keep `WIDTH` unfinished. Then submits at twice that rate, each at its time
whether the ones before are answered or not. By hand for longer, or at a steady rate for memory alone:

    python -m tests.benchmarks.bench_overload --minutes 10 [--rate 10]
"""

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.benchmarks.bare import p
from tests.benchmarks.report import Benchmark, Row, format_table
from tests.support.installed import Stigmer, installed

WIDTH = 30
MAXIMUM_S, OVERLOAD_S = 30.0, 60.0
QUICK_MAXIMUM_S, QUICK_OVERLOAD_S = 10.0, 20.0
WARM_S = 5.0
TIMES = 2.0
COUNT_EVERY_S = 0.25
DOCTOR_EVERY_S = 20.0
MEMORY_EVERY_S = 5.0

THROUGHPUT_MIN, ANSWER_MAX_MS, GROWTH_MAX = 0.9, 1_000.0, 1.1
REFUSED = 503
PARTS = ("server", "runner", "supervisor")


@dataclass(kw_only=True)
class Answers:
    """What came of the submits of a phase."""

    accepted_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def all_ms(self) -> Sequence[float]:
        """How long each answer took."""
        return [*self.accepted_ms, *self.refused_ms]


@dataclass(kw_only=True)
class Watched:
    """What was seen meanwhile: completed executions by time, resident megabytes by part and time, doctor's verdicts."""

    completed: list[tuple[float, int]] = field(default_factory=list)
    memory: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)

    def rate(self, since: float, until: float) -> float:
        """Executions completed a second."""
        within = [(at, number) for at, number in self.completed if since <= at <= until]
        (first_at, first), (last_at, last) = within[0], within[-1]
        return (last - first) / (last_at - first_at)

    def growth(self, part: str) -> float:
        """The resident memory of the last fifth, as a multiple of that of the second fifth."""
        sizes = [memory[part] for _at, memory in self.memory]
        fifth = max(1, len(sizes) // 5)
        before, after = sizes[fifth : 2 * fifth] or sizes[:1], sizes[-fifth:]
        return (sum(after) / len(after)) / (sum(before) / len(before))


class Load:
    """Submits to one stack, and what is seen of it."""

    def __init__(self, stigmer: Stigmer) -> None:
        self._stigmer = stigmer
        pids = stigmer.pids()
        self._processes = {part: psutil.Process(pids[part]) for part in PARTS if part in pids}
        token = (stigmer.home / "token").read_text().strip()
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{stigmer.environment['STIGMER_SERVER_PORT']}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30.0,
            limits=httpx.Limits(max_connections=400, max_keepalive_connections=400),
            trust_env=False,
        )
        self.seen = Watched()

    async def submit(self, into: Answers) -> None:
        """One execution."""
        begun = time.perf_counter()
        try:
            answer = await self.http.post(
                "/v1/executions",
                json={"agent": "greeter", "message": "hello"},
                headers={"Idempotency-Key": str(uuid.uuid4())},
            )
        except httpx.HTTPError as error:
            into.failed.append(type(error).__name__)
            return
        took_ms = (time.perf_counter() - begun) * 1000
        if answer.is_success:
            into.accepted_ms.append(took_ms)
        elif answer.status_code == REFUSED and answer.headers.get("retry-after"):
            into.refused_ms.append(took_ms)
        else:
            into.failed.append(f"{answer.status_code} {answer.text[:200]}")

    async def count(self) -> int:
        """How many have completed."""
        with suppress(httpx.HTTPError, KeyError, ValueError):
            phases = (await self.http.get("/v1/health")).json()["executions"]["phases"]
            number = int(phases.get("COMPLETED", 0))
            self.seen.completed.append((time.perf_counter(), number))
            return number
        return self.seen.completed[-1][1] if self.seen.completed else 0

    async def keep_busy(self, for_s: float) -> float:
        """Keep `WIDTH` unfinished for so long; how many were completed a second."""
        begun = time.perf_counter()
        answers, submitted = Answers(), 0
        first = await self.count()  # what is refused is submitted again
        async with asyncio.TaskGroup() as group:
            while time.perf_counter() - begun < for_s:
                unfinished = submitted - len(answers.refused_ms) - (await self.count() - first)
                for _ in range(max(0, WIDTH - unfinished)):
                    submitted += 1
                    group.create_task(self.submit(answers))
                await asyncio.sleep(COUNT_EVERY_S / 2)
        return self.seen.rate(begun + for_s / 6, begun + for_s)

    async def overload(self, rate: float, for_s: float) -> Answers:
        """Submit at `rate` a second for so long, and watch."""
        answers, begun, number = Answers(), time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(work) for work in (self._count(), self._measure(), self._diagnose())]
            async with asyncio.TaskGroup() as submits:
                while (at := number / rate) < for_s:
                    await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
                    submits.create_task(self.submit(answers))
                    number += 1
            for task in watching:
                task.cancel()
        return answers

    async def _count(self) -> None:
        while True:
            await self.count()
            await asyncio.sleep(4 * COUNT_EVERY_S)

    async def _measure(self) -> None:
        while True:
            sizes = {part: process.memory_info().rss / 1e6 for part, process in self._processes.items()}
            self.seen.memory.append((time.perf_counter(), sizes))
            await asyncio.sleep(MEMORY_EVERY_S)

    async def _diagnose(self) -> None:
        while True:
            await asyncio.sleep(DOCTOR_EVERY_S / 2)
            done = await asyncio.to_thread(self._stigmer, "doctor", "-o", "json")
            with suppress(ValueError, KeyError):
                self.seen.verdicts.append(str(json.loads(done.stdout)["verdict"]["message"]))
            await asyncio.sleep(DOCTOR_EVERY_S / 2)


async def _measure(stigmer: Stigmer, maximum_s: float, overload_s: float, rate: float | None) -> Sequence[Row]:
    load = Load(stigmer)
    async with load.http:
        await load.keep_busy(WARM_S)
        most = await load.keep_busy(maximum_s)
        begun = time.perf_counter()
        answers = await load.overload(rate or TIMES * most, overload_s)
        reached = load.seen.rate(begun + overload_s / 6, begun + overload_s)
    return _rows(most, reached, answers, load.seen)


def _rows(most: float, reached: float, answers: Answers, seen: Watched) -> Sequence[Row]:
    number = len(answers.all_ms) + len(answers.failed)
    for verdict in seen.verdicts:
        print(f"doctor: {verdict}")
    for failure in sorted(set(answers.failed)):
        print(f"{answers.failed.count(failure)} x {failure}")
    return [
        Row(
            what="executions completed",
            measured=reached,
            unit="a second",
            reference=f"{WIDTH} at a time",
            beside=most,
            budget=THROUGHPUT_MIN,
            is_rate=True,
        ),
        Row(what="a submit is answered, p50", measured=p(answers.all_ms, 50), unit="ms"),
        Row(what="a submit is answered, p99", measured=p(answers.all_ms, 99), unit="ms", budget=ANSWER_MAX_MS),
        Row(what="a submit is refused, of all", measured=100 * len(answers.refused_ms) / number, unit="%"),
        Row(what="a submit fails otherwise", measured=len(answers.failed), unit="of them", budget=0),
        *(
            Row(
                what=f"memory of the {part}, at the end",
                measured=seen.memory[-1][1][part],
                unit="MB",
                reference="after a fifth of the time",
                beside=seen.memory[-1][1][part] / seen.growth(part),
                budget=GROWTH_MAX,
            )
            for part in seen.memory[-1][1]
        ),
    ]


def _run(maximum_s: float, overload_s: float, rate: float | None = None) -> Sequence[Row]:
    with tempfile.TemporaryDirectory(prefix="stigmer-load-") as folder, installed(Path(folder) / "home") as stigmer:
        stigmer.ok("up")
        stigmer.apply_agent()
        return asyncio.run(_measure(stigmer, maximum_s, overload_s, rate))


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Figures of a minute at twice the maximum."""
    return _run(QUICK_MAXIMUM_S, QUICK_OVERLOAD_S) if is_quick else _run(MAXIMUM_S, OVERLOAD_S)


BENCHMARK = Benchmark(
    name="overload",
    about="A stack under twice the executions (echo) that it can bear, beside what it completes at its best.",
    run=run,
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--rate", type=float, help="submits a second, instead of twice the maximum")
    asked = parser.parse_args()
    print(format_table(_run(MAXIMUM_S, 60 * asked.minutes, asked.rate)))
