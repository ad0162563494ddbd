"""How much of a core a ready stack uses while nobody asks anything of it.

Processor time of each part, over several spans that begin some seconds after the stack is ready. On a virtual machine
a turn after a tenth of a second of sleep takes up to twenty times what it takes without, and that changes from minute
to minute: neighbours only add, so that the span with the least says best what the stack itself takes. All rows but the
median are of that one, and in the same span it is measured of a bare SDK worker, and of a process that only wakes.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks import bare_worker
from tests.benchmarks.report import Benchmark, Row
from tests.support.installed import installed

SETTLED_S = 10.0
"""By then each loop has had its first turn, and what was compiled or read for the first time is there."""

SPANS, SPANS_QUICK = 8, 2
SPAN_S = 30.0
OURS = ("supervisor", "server", "runner")
OURS_MAX_PERCENT = 1.0
WORKER, WAKER = "bare SDK worker", "a Python process that wakes ten times a second"


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Percent of one core, of each part and of ours together."""
    root = Path(tempfile.mkdtemp(prefix="stigmer-bench-"))
    try:
        with installed(root / "home") as stigmer:
            stigmer.ok("up")
            with (
                bare_worker.running(f"127.0.0.1:{stigmer.environment['STIGMER_TEMPORAL_PORT']}") as worker,
                _waker() as waker,
            ):
                parts = {
                    str(part["name"]): psutil.Process(int(part["pid"])) for part in stigmer.json("status")["parts"]
                }
                time.sleep(SETTLED_S)
                watched = parts | {WORKER: worker, WAKER: waker}
                spans = [_measure(watched) for _ in range(SPANS_QUICK if is_quick else SPANS)]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    percent = min(spans, key=_together)
    ours = f"{', '.join(OURS)} together"
    return [
        Row(
            what=f"{ours}, least of {len(spans)} spans", measured=_together(percent), unit="%", budget=OURS_MAX_PERCENT
        ),
        Row(what=f"{ours}, median", measured=statistics.median(map(_together, spans)), unit="%"),
        *(Row(what=name, measured=percent[name], unit="%") for name in parts if name != "runner"),
        Row(what="runner", measured=percent["runner"], unit="%", reference=WORKER, beside=percent[WORKER]),
        Row(what=WAKER, measured=percent[WAKER], unit="%"),
    ]


@contextmanager
def _waker() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(0.1)"]) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def _together(percent: Mapping[str, float]) -> float:
    return sum(percent[name] for name in OURS)


def _measure(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    before = {name: _cpu_s(process) for name, process in processes.items()}
    begun = time.perf_counter()
    time.sleep(SPAN_S)
    took_s = time.perf_counter() - begun
    return {name: (_cpu_s(process) - before[name]) / took_s * 100 for name, process in processes.items()}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


BENCHMARK = Benchmark(
    name="idle",
    about="How much of a core a ready stack uses while nobody asks anything of it, in percent.",
    run=run,
)
