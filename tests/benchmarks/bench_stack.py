"""How long `up` and `down` take, beside a bare `temporal server start-dev` in the same run.

A round starts and stops bare Temporals and one stack, each in a folder of its own. A bare one is what a person types:
with a new database file, so that it forgets nothing, as in a stack; or in memory, which is its default. It has none of
the settings by which `up` makes the same binary start faster. It is measured from its spawn until its namespace can be
described, and from SIGTERM to its end.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tests.benchmarks.bare import time_bare_temporal
from tests.benchmarks.report import Benchmark, Row, medians, time_call
from tests.support.installed import Stigmer, installed

ROUNDS, QUICK_ROUNDS = 9, 3
STATUSES = 3
UP_MAX_TIMES, AGAIN_MAX_TIMES = 6.0, 2.0
FIRST_OUTPUT_MAX_S, DOWN_MORE_MAX_S = 0.1, 0.5
BARE, BARE_STOP = "bare Temporal with a new file, spawn to namespace described", "bare Temporal, SIGTERM to its end"
BARE_IN_MEMORY = "bare Temporal in memory, spawn to namespace described"
FRESH, EXISTING = "`stigmer up`, cold, a new home", "`stigmer up`, cold, an existing home"
FIRST, AGAIN = "`stigmer up`, first output", "`stigmer up`, already up"
STATUS, RUN, DOWN = "`stigmer status`", "`stigmer run` with the model echo", "`stigmer down`"


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Seconds of `up` and `down`."""
    samples: dict[str, list[float]] = {}
    root = Path(tempfile.mkdtemp(prefix="stigmer-bench-"))
    try:
        for number in range(QUICK_ROUNDS if is_quick else ROUNDS):
            folder = root / str(number)
            folder.mkdir()
            for name, took_s in _run_round(folder):
                samples.setdefault(name, []).append(took_s)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    took = medians(samples)
    return [
        Row(what=FRESH, measured=took[FRESH], unit="s", reference=BARE, beside=took[BARE], budget=UP_MAX_TIMES),
        Row(what=EXISTING, measured=took[EXISTING], unit="s", reference=BARE, beside=took[BARE], budget=UP_MAX_TIMES),
        Row(what=FRESH, measured=took[FRESH], unit="s", reference=BARE_IN_MEMORY, beside=took[BARE_IN_MEMORY]),
        Row(what=FIRST, measured=took[FIRST], unit="s", budget=FIRST_OUTPUT_MAX_S),
        Row(what=AGAIN, measured=took[AGAIN], unit="s", reference=STATUS, beside=took[STATUS], budget=AGAIN_MAX_TIMES),
        Row(what=RUN, measured=took[RUN], unit="s", reference=STATUS, beside=took[STATUS]),
        Row(what=DOWN, measured=took[DOWN], unit="s", reference=BARE_STOP, beside=took[BARE_STOP]),
        Row(
            what=f"{DOWN}, more than bare Temporal",
            measured=took[DOWN] - took[BARE_STOP],
            unit="s",
            budget=DOWN_MORE_MAX_S,
        ),
    ]


def _run_round(folder: Path) -> list[tuple[str, float]]:
    samples = _time_bare(folder)
    with installed(folder / "home") as stigmer:
        first_s, ready_s = _time_up(stigmer)
        samples += [(FIRST, first_s), (FRESH, ready_s), (AGAIN, time_call(lambda: stigmer.ok("up")))]
        stigmer.apply_agent()
        stigmer.ok("run", "greeter", "warm")
        for _ in range(STATUSES):
            samples.append((STATUS, time_call(lambda: stigmer.ok("status"))))
            samples.append((RUN, time_call(lambda: stigmer.ok("run", "greeter", "hello"))))
        samples.append((DOWN, time_call(lambda: stigmer.ok("down"))))
        samples.append((EXISTING, time_call(lambda: stigmer.ok("up"))))
    return samples


def _time_bare(folder: Path) -> list[tuple[str, float]]:
    """How long a Temporal without a stack takes to start, and to stop."""
    start_s, stop_s = time_bare_temporal("--db-filename", str(folder / "temporal.db"))
    in_memory_s, _ = time_bare_temporal()
    return [(BARE, start_s), (BARE_STOP, stop_s), (BARE_IN_MEMORY, in_memory_s)]


def _time_up(stigmer: Stigmer) -> tuple[float, float]:
    """Seconds until `up` prints its first byte, and until it has returned."""
    first_s = 0.0

    def start() -> None:
        nonlocal first_s
        reading, writing = os.pipe()
        with subprocess.Popen([stigmer.command, "up"], env=stigmer.environment, stdout=writing, stderr=writing) as up:
            os.close(writing)
            with closing(os.fdopen(reading, "rb", buffering=0)) as output:
                first_s = time_call(lambda: output.read(1))
                said = output.read()
        assert up.returncode == 0, said.decode()

    ready_s = time_call(start)
    return first_s, ready_s


BENCHMARK = Benchmark(
    name="stack",
    about="How long the stack takes to start and to stop, beside a bare Temporal dev server.",
    run=run,
)
