"""A runner's process that performs one step by way of the journal, and is killed where it is told to be.

    python -m tests.support.step_runner URL TOKEN '{"execution": ..., "attempt": 1, "effect": "once", "die": "acting"}'

It dies `acting` (begun, and nothing done yet), `acted` (done, and not recorded) or `recorded`; "" lets it live. What it
does to the world is a line in the file `ledger`. It prints what came of the step.
"""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

from stigmer_cli.client import Client
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.step import Effect, StepKind
from stigmer_cli.run_reports import RunReports
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.journal import Journal, Json, StepCall, StepParked
from stigmer_cli.runner.reports import ClockAndRng, Reporter

RUN = "run-1"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _write(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as ledger:
        ledger.write(line)


async def _perform(client: Client, asked: dict[str, str]) -> str:
    reports = RunReports(client)
    number = int(asked["attempt"])
    work = await reports.begin_attempt(
        asked["execution"], epoch=1, run=RUN, attempt=number, runner=f"runner-{os.getpid()}"
    )
    assert work is not None
    attempt = Attempt(
        execution=asked["execution"],
        epoch=1,
        run=RUN,
        workflow="w",
        first_run=RUN,
        number=number,
        runner=f"runner-{os.getpid()}",
    )
    clock_and_rng = ClockAndRng(clock=SystemClock(), rng=random.Random())
    journal = Journal(attempt, Reporter(reports, clock_and_rng), clock_and_rng, has_steps=bool(work.has_steps))
    step = StepCall(
        key="/turns/0/calls/0", kind=StepKind.TOOL, name="send_mail", effect=Effect(asked["effect"]), input="me"
    )

    async def effect() -> Json:
        if asked["die"] == "acting":
            _die()
        _write(Path(asked["ledger"]), f"attempt {number}\n")
        if asked["die"] == "acted":
            _die()
        print("acted", flush=True)
        if asked.get("wait"):
            await asyncio.to_thread(sys.stdin.readline)
        return f"sent by attempt {number}"

    result = await journal.perform(step, effect)
    if asked["die"] == "recorded":
        _die()
    return str(result)


async def main() -> None:
    """Perform the step, and print its result, or why the execution is parked."""
    url, token, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    async with Client(url, lambda: token) as client:
        try:
            print(await _perform(client, asked), flush=True)
        except StepParked as parked:
            print(f"parked: {parked.message}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
