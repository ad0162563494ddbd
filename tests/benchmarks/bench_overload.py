"""What a stack does under twice the executions that it can bear: throughput, answers, refusals, memory, doctor.

First the maximum: as many executions as keep `WIDTH` unfinished. Then submits at twice that rate, each at its time
whether the ones before are answered or not. Then the maximum again: the speed of a machine drifts, and the mean of the
two is what the throughput in between is compared with. By hand for longer, or at a steady rate for memory alone:

    python -m tests.benchmarks.bench_overload --minutes 10 [--rate 10]
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import httpx
import psutil

from stigmer_cli.plain_transport import PlainTransport
from tests.benchmarks.bare import p
from tests.benchmarks.report import Benchmark, Row, format_table
from tests.support.installed import Stigmer, installed

BODY, JSON = json.dumps({"agent": "greeter", "message": "hello"}), {"Content-Type": "application/json"}
WIDTH = 30
MAXIMUM_S, OVERLOAD_S = 30.0, 60.0
WARM_S = 5.0
TIMES = 2.0
COUNT_EVERY_S = 0.25
DOCTOR_EVERY_S = 20.0
MEMORY_EVERY_S = 5.0

PATIENCE_S = 15.0
"""For how long a patient client submits again, as `stigmer run` does."""

THROUGHPUT_MIN, ANSWER_MAX_MS, GROWTH_MAX = 0.9, 1_000.0, 1.1
REFUSED = 503
PARTS = ("server", "runner", "supervisor")
GENERATOR = "load generator"
LOADED = ("temporal", "server", "runner", GENERATOR)
"""Whose processor time is compared: the generator has its share of the same cores, at the maximum too."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How long each phase takes; `rate`: submits a second, instead of twice the maximum."""

    maximum_s: float = MAXIMUM_S
    overload_s: float = OVERLOAD_S
    rate: float | None = None
    is_patient: bool = False


QUICK = Wanted(maximum_s=10.0, overload_s=20.0)


@dataclass(kw_only=True)
class Answers:
    """What came of the submits of a phase."""

    accepted_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    given_up: int = 0

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
    """Submits to one stack, and what is seen of it. Its clients, if they are patient, honour Retry-After."""

    def __init__(self, stigmer: Stigmer, *, is_patient: bool) -> None:
        self._stigmer = stigmer
        self._is_patient = is_patient
        pids = stigmer.pids()
        self._processes = {part: psutil.Process(pid) for part, pid in pids.items()}
        self._processes[GENERATOR] = psutil.Process()
        token = (stigmer.home / "token").read_text().strip()
        port = int(stigmer.environment["STIGMER_SERVER_PORT"])
        self.http = httpx.AsyncClient(
            transport=PlainTransport("127.0.0.1", port),  # as commands have it: it takes half the time of httpx's own
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30.0,
            trust_env=False,
        )
        self.seen = Watched()

    async def submit(self, into: Answers) -> None:
        """One execution; a patient client asks again, after as long as it was told, until `PATIENCE_S` are over."""
        key, begun = str(uuid.uuid4()), time.perf_counter()
        while (again_s := await self._try(key, into)) is not None and self._is_patient:
            if time.perf_counter() - begun + again_s > PATIENCE_S:
                into.given_up += 1
                return
            await asyncio.sleep(again_s * random.uniform(1.0, 1.1))

    async def _try(self, key: str, into: Answers) -> float | None:
        """Submit once; where it was refused, after how many seconds to ask again."""
        begun = time.perf_counter()
        try:
            answer = await self.http.post("/v1/executions", content=BODY, headers={**JSON, "Idempotency-Key": key})
        except httpx.HTTPError as error:
            into.failed.append(type(error).__name__)
            return None
        took_ms = (time.perf_counter() - begun) * 1000
        if answer.is_success:
            into.accepted_ms.append(took_ms)
        elif answer.status_code == REFUSED and answer.headers.get("retry-after"):
            into.refused_ms.append(took_ms)
            return float(answer.headers["retry-after"])
        else:
            into.failed.append(f"{answer.status_code} {answer.text[:200]}")
        return None

    def cpu_s(self) -> Mapping[str, float]:
        """Seconds of processor so far of what is `LOADED`."""
        times = {part: self._processes[part].cpu_times() for part in LOADED}
        return {part: found.user + found.system for part, found in times.items()}

    async def count(self) -> int:
        """How many have completed."""
        with suppress(httpx.HTTPError, KeyError, ValueError):
            phases = (await self.http.get("/v1/health")).json()["executions"]["phases"]
            number = int(phases.get("COMPLETED", 0))
            self.seen.completed.append((time.perf_counter(), number))
            return number
        return self.seen.completed[-1][1] if self.seen.completed else 0

    async def drain(self) -> None:
        """Return when nothing is open."""
        phases: Mapping[str, int] = {"PENDING": 1}
        while phases.get("PENDING", 0) or phases.get("IN_PROGRESS", 0):
            await asyncio.sleep(COUNT_EVERY_S)
            phases = (await self.http.get("/v1/health")).json()["executions"]["phases"]

    async def keep_busy(self, for_s: float) -> None:
        """Keep `WIDTH` unfinished for so long."""
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

    async def overload(self, rate: float, for_s: float, answers: Answers) -> None:
        """Submit at `rate` a second for so long, and watch."""
        begun, number = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(work) for work in (self._count(), self._measure(), self._diagnose())]
            async with asyncio.TaskGroup() as submits:
                while (at := number / rate) < for_s:
                    await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
                    submits.create_task(self.submit(answers))
                    number += 1
            for task in watching:
                task.cancel()

    async def _count(self) -> None:
        while True:
            await self.count()
            await asyncio.sleep(4 * COUNT_EVERY_S)

    async def _measure(self) -> None:
        while True:
            sizes = {
                part: process.memory_info().rss / 1e6 for part, process in self._processes.items() if part in PARTS
            }
            self.seen.memory.append((time.perf_counter(), sizes))
            await asyncio.sleep(MEMORY_EVERY_S)

    async def _diagnose(self) -> None:
        while True:
            await asyncio.sleep(DOCTOR_EVERY_S / 2)
            done = await asyncio.to_thread(self._stigmer, "doctor", "-o", "json")
            with suppress(ValueError, KeyError):
                self.seen.verdicts.append(str(json.loads(done.stdout)["verdict"]["message"]))
            await asyncio.sleep(DOCTOR_EVERY_S / 2)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What came of a phase: executions completed a second, and by part the processor time in cores."""

    rate: float
    cores: Mapping[str, float]

    @classmethod
    async def of(cls, load: Load, for_s: float, work: Awaitable[object]) -> Self:
        """See `work` through, which takes `for_s`; the rate is that of its last five sixths."""
        begun, before = time.perf_counter(), load.cpu_s()
        await work
        took_s, after = time.perf_counter() - begun, load.cpu_s()
        return cls(
            rate=load.seen.rate(begun + for_s / 6, begun + for_s),
            cores={part: (after[part] - before[part]) / took_s for part in LOADED},
        )

    def mean(self, other: Self) -> Self:
        """What lies between the two."""
        cores = {part: (self.cores[part] + other.cores[part]) / 2 for part in LOADED}
        return replace(self, rate=(self.rate + other.rate) / 2, cores=cores)


async def _measure(stigmer: Stigmer, wanted: Wanted) -> Sequence[Row]:
    load, answers = Load(stigmer, is_patient=wanted.is_patient), Answers()
    async with load.http:
        await load.keep_busy(WARM_S)
        most = await Phase.of(load, wanted.maximum_s, load.keep_busy(wanted.maximum_s))
        rate = wanted.rate or TIMES * most.rate
        reached = await Phase.of(load, wanted.overload_s, load.overload(rate, wanted.overload_s, answers))
        await load.drain()
        await load.keep_busy(WARM_S)
        again = await Phase.of(load, wanted.maximum_s, load.keep_busy(wanted.maximum_s))
    print(f"maximum before: {most.rate:.1f} a second, after: {again.rate:.1f}")
    return _rows(most.mean(again), reached, answers, load.seen)


def _rows(most: Phase, reached: Phase, answers: Answers, seen: Watched) -> Sequence[Row]:
    number = len(answers.all_ms) + len(answers.failed)
    for verdict in seen.verdicts:
        print(f"doctor: {verdict}")
    for failure in sorted(set(answers.failed)):
        print(f"{answers.failed.count(failure)} x {failure}")
    return [
        Row(
            what="executions completed",
            measured=reached.rate,
            unit="a second",
            reference=f"{WIDTH} at a time",
            beside=most.rate,
            budget=THROUGHPUT_MIN,
            is_rate=True,
        ),
        Row(what="a submit is answered, p50", measured=p(answers.all_ms, 50), unit="ms"),
        Row(what="a submit is answered, p99", measured=p(answers.all_ms, 99), unit="ms", budget=ANSWER_MAX_MS),
        Row(what="a submit is refused, of all", measured=100 * len(answers.refused_ms) / number, unit="%"),
        Row(what="a submit fails otherwise", measured=len(answers.failed), unit="of them", budget=0),
        *_cpu_rows(most, reached),
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


def _cpu_rows(most: Phase, reached: Phase) -> Sequence[Row]:
    return [
        Row(
            what=f"CPU of the {part}",
            measured=100 * reached.cores[part],
            unit="% of a core",
            reference=f"{WIDTH} at a time",
            beside=100 * most.cores[part],
        )
        for part in LOADED
    ]


def _run(wanted: Wanted) -> Sequence[Row]:
    with tempfile.TemporaryDirectory(prefix="stigmer-load-") as folder, installed(Path(folder) / "home") as stigmer:
        stigmer.ok("up")
        stigmer.apply_agent()
        return asyncio.run(_measure(stigmer, wanted))


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Figures of a minute at twice the maximum."""
    return _run(QUICK if is_quick else Wanted())


BENCHMARK = Benchmark(
    name="overload",
    about="A stack under twice the executions (echo) that it can bear, beside what it completes at its best.",
    run=run,
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--maximum", type=float, default=MAXIMUM_S, metavar="SECONDS", help="for which it is measured")
    parser.add_argument("--rate", type=float, help="submits a second, instead of twice the maximum")
    parser.add_argument("--patient", action="store_true", help="clients honour Retry-After, and submit again")
    asked = parser.parse_args()
    wanted = Wanted(maximum_s=asked.maximum, overload_s=60 * asked.minutes, rate=asked.rate, is_patient=asked.patient)
    print(format_table(_run(wanted)))
