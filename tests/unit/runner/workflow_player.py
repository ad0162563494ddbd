"""A runner in memory that plays the attempts of one workflow, each for as long as it lives."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Effect
from stigmer_cli.runner.attempt import AttemptRunner
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.workflow_attempt import Shared
from stigmer_cli.runner.workflows import Workflows
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, Functions
from tests.support.fakes_temporal import LoopClock, in_virtual_time
from tests.support.workflow_reports import LocalEvaluator, WorkflowReports, WorkflowRow

EXECUTION = "wex-00000000000000000000000001"
SERVER_MS = 1_000_000_000_000
HOUR_MS = 3_600_000


class Service:
    """A function `agent`: how long a call takes, what it answers, and what calling it twice does, say its arguments."""

    def __init__(self) -> None:
        self.asked: list[Json] = []
        self.answered: list[Json] = []
        self.keys: list[str] = []

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        return Effect(str(arguments.get("effect", "once")))

    async def perform(self, request: CallRequest) -> Json:
        given = request.arguments
        self.asked.append(given["n"])
        self.keys.append(request.idempotency_key)
        await asyncio.sleep(float(str(given.get("takes", 0))))
        if "fails" in given:
            raise make_error(ErrorType.COMMUNICATION, str(given["fails"]), status=503)
        self.answered.append(given["n"])
        return {"n": given["n"], "said": given.get("say")}


class LateMessages:
    """Subscriptions whose one message comes after `after_s`."""

    def __init__(self, after_s: float) -> None:
        self.after_s = after_s

    @asynccontextmanager
    async def open(self, request: CallRequest) -> AsyncIterator[AsyncIterator[Json]]:
        async def receive() -> AsyncIterator[Json]:
            await asyncio.sleep(self.after_s)
            yield request.arguments["n"]

        yield receive()


class Runner:
    """The attempts of one execution, one after another; `lives_s`: the process of an attempt is killed then."""

    def __init__(
        self,
        text: str,
        given: Json = None,
        *,
        secrets: Mapping[str, str] | None = None,
        has_children: bool = False,
        tasks_max: int = 10_000,
    ) -> None:
        """`has_children`: `call: agent` is an execution of its own, not the function."""
        self.reports = WorkflowReports()
        self.reports.secrets.update(secrets or {})
        self.row: WorkflowRow = self.reports.add_workflow(EXECUTION, text, given, tasks_max=tasks_max)
        self.row.claimed_run, self.row.phase = "run-1", Phase.IN_PROGRESS
        self.service = Service()
        self.functions = Functions(has_children=True) if has_children else Functions(calls={"agent": self.service})
        self.clock = LoopClock()
        self.number = 0

    def set_clock(self, ahead_ms: int) -> None:
        """What the server says that it is when an attempt begins."""
        workflow = self.row.work.workflow
        assert workflow is not None
        given = workflow.model_copy(update={"now_ms": SERVER_MS + ahead_ms})
        self.row.work = self.row.work.model_copy(update={"workflow": given})

    async def attempt(self, *, lives_s: float | None = None) -> None:
        self.number += 1
        clock_and_rng = ClockAndRng(clock=self.clock, rng=random.Random(self.number))
        reporter = Reporter(self.reports, clock_and_rng)
        workflows = Workflows(reporter, clock_and_rng)
        workflows.shared = Shared(evaluator=LocalEvaluator(), functions=self.functions)
        retry = ModelRetry(for_s=900.0)
        runner = AttemptRunner(reporter, lambda _name: None, clock_and_rng, model_retry=retry, workflows=workflows)  # type: ignore[arg-type,return-value]
        attempt = Attempt(
            execution=EXECUTION, epoch=1, run="run-1", workflow="w", first_run="run-1", number=self.number, runner="r"
        )
        begun = await runner.begin(attempt)
        if begun.work is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(lives_s):
                    await runner.perform(attempt, begun.work)


def play(runner: Runner, *lives_s: float | None, ends_timers: bool = True) -> Runner:
    """Attempts that live so long; the time that one waits for comes before the next one begins."""

    async def main() -> None:
        for number, life_s in enumerate(lives_s):
            if number and ends_timers and runner.row.waits:
                wait = runner.row.waits[-1]
                await asyncio.sleep(wait.delay_s or 0)
                if wait.timer is not None and wait.step not in runner.row.journal:
                    runner.reports.end_timer(EXECUTION)
            await runner.attempt(lives_s=life_s)

    in_virtual_time(main())
    return runner
