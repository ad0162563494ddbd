"""Steps on a real server, by runners that are killed in the middle of one, and a server that is."""

import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from stigmer_cli.api.query import Query
from stigmer_cli.api.reports import ClaimAnswer, OutcomeReport, ReportResponse
from stigmer_cli.api.resume import ResumeRequest
from stigmer_cli.api.steps import CutOffRequest, CutOffResponse, StepDraftBody, StepEndBody
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import AttentionCode
from stigmer_cli.domain.idempotency import CallGenerations
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import RESULT_BYTES_MAX, BeginAnswer, Effect, StepKind, StepState
from stigmer_cli.errors import RequestError, TooLarge
from stigmer_cli.run_reports import RunReports
from tests.support import step_runner
from tests.support.blocked_loops import refuse_blocks
from tests.support.running_server import TOKEN, Served, accept, make_agent, served
from tests.support.temporal_server import free_port

ENDS_WITHIN_S = 40
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Stage:
    """A server without a Temporal, an execution that a run has claimed, and runners that perform its step."""

    def __init__(self, server: Served, client: Client, folder: Path) -> None:
        self.server = server
        self.client = client
        self.ledger = folder / f"ledger-{uuid.uuid4()}"
        self.execution = ""

    async def claim(self) -> None:
        """Have a new execution claimed."""
        accepted = await accept(self.client, str(uuid.uuid4()))
        self.execution = accepted.metadata.id
        won = await RunReports(self.client).claim(
            self.execution,
            epoch=1,
            run=step_runner.RUN,
            runner="runner",
            workflow=accepted.status.dispatch.workflow_id,
            first_run=step_runner.RUN,
        )
        assert won is ClaimAnswer.WON

    def spawn(self, attempt: int, effect: Effect, die: str = "", *, waits: bool = False) -> "subprocess.Popen[str]":
        """A runner at work."""
        asked = {
            "execution": self.execution,
            "attempt": str(attempt),
            "effect": effect,
            "die": die,
            "ledger": str(self.ledger),
            **({"wait": "yes"} if waits else {}),
        }
        return subprocess.Popen(
            [sys.executable, "-m", step_runner.__name__, self.server.url, TOKEN, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )

    def perform(self, attempt: int, effect: Effect, die: str = "") -> tuple[int, str]:
        """How a runner ended, and the last line that it printed."""
        with self.spawn(attempt, effect, die) as process:
            said, _ = process.communicate(timeout=ENDS_WITHIN_S)
            return process.returncode, said.splitlines()[-1] if said else ""

    @property
    def acts(self) -> list[str]:
        """What was done to the world, in order."""
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    home = tmp_path_factory.mktemp("home")
    async with served(home, f"127.0.0.1:{free_port()}") as found:
        async with found.client() as client:
            await make_agent(client)
        yield found
    refuse_blocks(home)


@pytest_asyncio.fixture(loop_scope="module")
async def stage(server: Served, tmp_path: Path) -> AsyncIterator[Stage]:
    async with server.client() as client:
        yield Stage(server, client, tmp_path)


async def test_a_once_step_is_never_performed_twice_wherever_its_runner_dies(stage: Stage) -> None:
    for die, acts, said in (
        ("acting", [], "parked: step /turns/0/calls/0 (tool send_mail) began at "),
        ("acted", ["attempt 1"], "parked: step /turns/0/calls/0 (tool send_mail) began at "),
        ("recorded", ["attempt 1"], "sent by attempt 1"),
    ):
        await stage.claim()
        stage.ledger.unlink(missing_ok=True)
        assert stage.perform(1, Effect.ONCE, die)[0] == -9
        code, last = stage.perform(2, Effect.ONCE)
        assert (code, last[: len(said)], stage.acts) == (0, said, acts), die
        status = (await stage.client.execution(stage.execution)).status
        assert status.steps is not None
        [step] = status.steps
        if die == "recorded":
            assert (step.state, status.attention) == (StepState.DONE, None)
        else:
            assert (step.state, status.phase) == (StepState.UNKNOWN, Phase.IN_PROGRESS)
            assert status.attention is not None
            assert status.attention.code is AttentionCode.EFFECT_UNKNOWN
            assert step.runner is not None
            assert step.runner in status.attention.reason


@pytest.mark.slow
async def test_a_step_that_may_be_repeated_is_performed_until_its_result_is_recorded(stage: Stage) -> None:
    for effect in (Effect.REPEATABLE, Effect.NONE):
        for die, acts, said in (
            ("acting", ["attempt 2"], "sent by attempt 2"),
            ("acted", ["attempt 1", "attempt 2"], "sent by attempt 2"),
            ("recorded", ["attempt 1"], "sent by attempt 1"),
        ):
            await stage.claim()
            stage.ledger.unlink(missing_ok=True)
            assert stage.perform(1, effect, die)[0] == -9
            assert (stage.perform(2, effect), stage.acts) == ((0, said), acts), (effect, die)


async def test_a_server_that_dies_between_effect_and_result_gets_the_result_when_it_is_back(stage: Stage) -> None:
    await stage.claim()
    with stage.spawn(1, Effect.ONCE, waits=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "acted\n"
        stage.server.kill()
        process.stdin.write("\n")
        process.stdin.flush()
        await stage.server.start()
        assert process.stdout.read().splitlines()[-1] == "sent by attempt 1"
    contents = await stage.client.step(stage.execution, "/turns/0/calls/0")
    assert (contents.state, contents.attempts, contents.input, contents.result) == (
        StepState.DONE,
        1,
        '"me"',
        '"sent by attempt 1"',
    )
    assert await stage.client.step(stage.execution, "1") == contents


def body(number: int, *, effect: Effect = Effect.NONE) -> StepDraftBody:
    return StepDraftBody(
        key=f"/{number}",
        kind=StepKind.TOOL,
        name="t",
        effect=effect,
        nonce=f"nonce-0{number}",
        input_hash="h",
        input="1",
    )


async def test_the_largest_results_block_nothing_and_a_larger_one_is_refused(stage: Stage) -> None:
    """The watchdog of the server complains otherwise, and the test fails."""
    await stage.claim()
    reports = RunReports(stage.client)
    await reports.begin_attempt(stage.execution, epoch=1, run=step_runner.RUN, attempt=1, runner="r")

    async def finish(number: int, end: StepEndBody) -> bool:
        return await reports.finish_step(
            stage.execution, epoch=1, run=step_runner.RUN, attempt=1, step=body(number), end=end
        )

    quotes = '\\"' * (RESULT_BYTES_MAX // 2)
    for number in range(3):
        assert await finish(number, StepEndBody(state=StepState.DONE, result=quotes))
    pages, after = [], 0
    while True:
        page = await reports.read_recorded_steps(stage.execution, after=after)
        pages.append([item.result == quotes for item in page.items])
        if page.next_after is None:
            break
        after = page.next_after
    assert pages == [[True]] * 3
    long = StepEndBody.model_construct(state=StepState.DONE, result=quotes + "x")
    with pytest.raises((RequestError, TooLarge)):
        await finish(9, long)


async def test_steps_are_listed_in_pages_and_only_a_single_execution_has_them(stage: Stage) -> None:
    await stage.claim()
    reports = RunReports(stage.client)
    await reports.begin_attempt(stage.execution, epoch=1, run=step_runner.RUN, attempt=1, runner="r")
    for number in range(5):
        begun = await reports.begin_step(
            stage.execution, epoch=1, run=step_runner.RUN, attempt=1, step=body(number, effect=Effect.ONCE)
        )
        assert begun.answer is BeginAnswer.GO
    page = await stage.client.steps(stage.execution, after=3)
    assert ([item.number for item in page.items], page.next_after) == ([4, 5], None)
    whole = (await stage.client.execution(stage.execution)).to_wire()
    status = whole["status"]
    assert isinstance(status, dict)
    assert [step["key"] for step in status["steps"]] == [f"/{number}" for number in range(5)]
    assert status["stepCount"] == 5
    [listed] = (await stage.client.executions(Query(limit=1))).items
    assert listed.status.steps is None


async def test_a_run_cuts_off_what_an_earlier_attempt_left_in_the_air(stage: Stage) -> None:
    await stage.claim()
    reports = RunReports(stage.client)
    await reports.begin_attempt(stage.execution, epoch=1, run=step_runner.RUN, attempt=1, runner="r")
    for number in range(2):
        await reports.begin_step(
            stage.execution, epoch=1, run=step_runner.RUN, attempt=1, step=body(number, effect=Effect.ONCE)
        )
    await reports.begin_attempt(stage.execution, epoch=1, run=step_runner.RUN, attempt=2, runner="r")
    end = StepEndBody(state=StepState.FAILED, error="it was cut off")
    request = CutOffRequest(epoch=1, run=step_runner.RUN, attempt=2, below=["/0"], end=end)
    assert await reports.cut_off_steps(stage.execution, request) == CutOffResponse(taken=True, left=1)
    old = request.model_copy(update={"attempt": 1})
    assert await reports.cut_off_steps(stage.execution, old) == CutOffResponse(taken=False)
    (first, second) = (await stage.client.steps(stage.execution)).items
    assert (first.state, first.error, second.state) == (StepState.FAILED, "it was cut off", StepState.BEGUN)
    whole = request.model_copy(update={"below": [""]})
    assert await reports.cut_off_steps(stage.execution, whole) == CutOffResponse(taken=True)


async def test_an_attempt_is_told_which_calls_a_person_had_made_anew(stage: Stage) -> None:
    await stage.claim()
    reports, run = RunReports(stage.client), step_runner.RUN
    work = await reports.begin_attempt(stage.execution, epoch=1, run=run, attempt=1, runner="r")
    assert work is not None
    assert work.generations is None
    ends = [StepEndBody(state=StepState.FAILED, error="no"), StepEndBody(state=StepState.DONE, result="1")]
    for number, end in enumerate(ends):
        step = body(number, effect=Effect.ONCE)
        await reports.begin_step(stage.execution, epoch=1, run=run, attempt=1, step=step)
        await reports.finish_step(stage.execution, epoch=1, run=run, attempt=1, step=step, end=end)
    outcome = OutcomeReport(epoch=1, run=run, attempt=1, phase=Phase.FAILED, error="no")
    await stage.client.report(stage.execution, "outcome", outcome, ReportResponse)
    await stage.client.resume_executions(ResumeRequest(ids=[stage.execution], forget_from="/1"))
    workflow = (await stage.client.execution(stage.execution)).status.dispatch.workflow_id
    await reports.claim(stage.execution, epoch=2, run="run-2", runner="r", workflow=workflow, first_run="run-2")
    work = await reports.begin_attempt(stage.execution, epoch=2, run="run-2", attempt=1, runner="r")
    assert work is not None
    assert work.call_generations == CallGenerations(present=1, kept={"/0": 0})
