"""How long the stack's commands take, beside a bare `temporal server start-dev` in the same run.

    python tests/benchmarks/bench_stack.py [--rounds N] [--json FILE]

Prints a table of medians in seconds, and each as a ratio to the bare Temporal: from spawn until its namespace can be
described, with a fresh database file, as `up` starts it.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from temporalio.client import Client

from tests.support.installed import Stigmer, installed
from tests.support.temporal_server import DevServer

BARE = "bare temporal: spawn to namespace described"


async def _until_described(address: str) -> None:
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest  # noqa: PLC0415

    while True:
        try:
            client = await Client.connect(address)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        except Exception:  # noqa: BLE001 - whatever it says while it starts
            await asyncio.sleep(0.005)
        else:
            return


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _bare(folder: Path) -> float:
    folder.mkdir()
    with DevServer(folder, file=folder / "temporal.db") as server:
        return _timed(lambda: (server.start(), asyncio.run(_until_described(server.address))))


def _round(folder: Path, samples: dict[str, list[float]]) -> None:
    samples[BARE].append(_bare(folder / "bare"))
    with installed(folder / "home") as stigmer:
        samples["up, cold (fresh home)"].append(_timed(lambda: stigmer.ok("up")))
        samples["up, already up"].append(_timed(lambda: stigmer.ok("up")))
        stigmer.apply_agent()
        stigmer.ok("run", "greeter", "warm")
        for _ in range(5):
            samples["status"].append(_timed(lambda: stigmer.ok("status")))
            samples["run with echo"].append(_timed(lambda: _run(stigmer)))
        samples["down"].append(_timed(lambda: stigmer.ok("down")))
        samples["up, cold (existing home)"].append(_timed(lambda: stigmer.ok("up")))


def _run(stigmer: Stigmer) -> None:
    assert "hello" in stigmer.ok("run", "greeter", "hello")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = (
        BARE, "up, cold (fresh home)", "up, cold (existing home)", "up, already up", "status", "run with echo", "down"
    )  # fmt: skip
    samples: dict[str, list[float]] = {name: [] for name in names}
    root = Path(tempfile.mkdtemp(prefix="stigmer-bench-"))
    try:
        for number in range(arguments.rounds):
            folder = root / str(number)
            folder.mkdir()
            _round(folder, samples)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    print("| what | median | longest | ratio to bare Temporal |\n|---|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} s | {max(samples[name]):.2f} s | {median / medians[BARE]:.1f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(samples, indent=2) + "\n")


if __name__ == "__main__":
    main()
