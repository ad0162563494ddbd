"""Long chaos runs: python -m tests.chaos.run --faults 2000 --executions 20000 --shards 3 --seed 1 --json FILE.

Each shard is a process with its own stack, ports and seed (SEED * 1000 + its number); the results are merged into one
table. If anything is wrong, the exit code is 1, after all shards have finished.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from stigmer_cli import log
from tests.chaos.chaos_run import Window, run_chaos
from tests.chaos.nemesis import part, plan
from tests.chaos.report import Outcome, Report, outcome_of, to_line
from tests.chaos.workload import TOOLS_SHARE, WORKFLOWS_SHARE
from tests.support.temporal_server import die_with_parent

PRINTED_EVERY = 50
WRITTEN_EVERY_S = 120.0
LINE_MAX = 64 * 1024 * 1024
MODULE = "tests.chaos.run"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the command line asked for."""

    faults: int
    executions: int
    tools: float
    workflows: float
    shards: int
    seed: int
    shard: int | None
    json: Path | None
    keep: Path | None

    def folder(self, shard: int) -> AbstractContextManager[str]:
        """Where a shard writes: removed at its end, unless it is to be kept."""
        if self.keep is None:
            return tempfile.TemporaryDirectory(prefix=f"chaos-{shard}-")
        kept = self.keep / f"shard-{shard}"
        kept.mkdir(parents=True)
        return nullcontext(str(kept))

    def repro(self, shard: int) -> str:
        """The command line that runs this shard alone."""
        return (
            f"python -m {MODULE} --faults {self.faults} --executions {self.executions} --tools {self.tools} "
            f"--workflows {self.workflows} --shards {self.shards} --seed {self.seed} --shard {shard}"
        )


async def run_shard(request: RunOptions, shard: int) -> None:
    """Run one part of the plan; each window, and at last the outcome, is a line of JSON on standard output."""
    faults = part(plan(random.Random(request.seed), request.faults), shard, request.shards)
    begun = time.monotonic()

    def print_line(what: Window | Outcome) -> None:
        print(json.dumps(to_line(what)), flush=True)

    log.silence()  # the connection of the judge would log between the lines
    with request.folder(shard) as folder:
        run = await run_chaos(
            Path(folder),
            seed=request.seed * 1000 + shard,
            faults=faults,
            executions=-(-request.executions // request.shards),
            tools_share=request.tools,
            workflows_share=request.workflows,
            on_window=print_line,
        )
    print_line(outcome_of(run, shard=shard, lasted_s=time.monotonic() - begun))


async def run_shards(request: RunOptions) -> Report:
    """Run all shards in parallel; an interrupted run writes the table that it has so far."""
    shards = range(request.shards) if request.shard is None else (request.shard,)
    report = Report(seed=request.seed, shards=len(shards), repros=[request.repro(shard) for shard in shards])
    begun = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(_write_periodically(request, report))
            async with asyncio.TaskGroup() as processes:
                for shard in shards:
                    processes.create_task(_follow(request, shard, report, begun), name=f"shard {shard}")
            writer.cancel()
    finally:
        _write(request, report)
    return report


async def _follow(request: RunOptions, shard: int, report: Report, begun: float) -> None:
    keep = () if request.keep is None else ("--keep", str(request.keep))
    arguments = (*request.repro(shard).split()[1:], *keep)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        "--lines",
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_MAX,
        preexec_fn=die_with_parent,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            found = json.loads(line)
            if "window" in found:
                report.windows.append(Window(**found["window"]))
                _print_progress(request, report, time.monotonic() - begun)
            else:
                report.outcomes.append(Outcome(**found["outcome"]))
        if await process.wait():
            print(f"shard {shard} ended with {process.returncode}", file=sys.stderr)
    finally:
        if process.returncode is None:
            process.terminate()  # it stops its stack and removes its folder
            await process.wait()


def _print_progress(request: RunOptions, report: Report, lasted_s: float) -> None:
    done, wanted = len(report.windows), request.faults if request.shard is None else request.faults // request.shards
    if done % PRINTED_EVERY == 0 or done == wanted:
        left_s = lasted_s / done * (wanted - done)
        print(f"{done} of {wanted} faults after {lasted_s:.0f} s, {left_s:.0f} s to go", file=sys.stderr, flush=True)


async def _write_periodically(request: RunOptions, report: Report) -> None:
    while True:
        await asyncio.sleep(WRITTEN_EVERY_S)
        _write(request, report)


def _write(request: RunOptions, report: Report) -> None:
    if request.json is not None:
        request.json.write_text(json.dumps(report.to_json(), indent=2) + "\n")


def main() -> int:
    """0 if nothing is lost, duplicated, stuck or broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=40, help="how many, one after another in each shard")
    parser.add_argument("--executions", type=int, default=400, help="how many, of all shards together")
    parser.add_argument(
        "--tools",
        type=float,
        default=TOOLS_SHARE,
        metavar="SHARE",
        help="of the others, those of agents that use tools, 0 to 1 (default: %(default)s); it has 7 to 14 steps",
    )
    parser.add_argument(
        "--workflows",
        type=float,
        default=WORKFLOWS_SHARE,
        metavar="SHARE",
        help="of all executions, those of workflows, 0 to 1 (default: %(default)s); it has 3 to 9 calls",
    )
    parser.add_argument("--shards", type=int, default=1, help="stacks that run at the same time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard", type=int, help="run this one alone")
    parser.add_argument("--lines", action="store_true", help="write lines of JSON for the parent process")
    parser.add_argument("--json", type=Path, help="write the account to this file, every two minutes and at the end")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="leave logs, stores and ledgers there, shard by shard"
    )
    found = vars(parser.parse_args())
    is_shard = found.pop("lines")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the stack is stopped
    request = RunOptions(**found)
    if is_shard:
        assert request.shard is not None, "--lines is for one shard"
        asyncio.run(run_shard(request, request.shard))
        return 0
    report = asyncio.run(run_shards(request))
    print(report.text())
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
