"""What a run asks of the server and tells it, and how it retries while the server is away.

`Reports` is the seam, which the HTTP client fulfils; `Reporter` asks until it is answered.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog
from pydantic import JsonValue

from stigmer_cli.api.children import ChildRequest, ChildResponse
from stigmer_cli.api.cloud_events import ListenRequest, ListenResponse
from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.api.reports import ClaimAnswer, ClaimingAttemptResponse, CountsResponse, MessageTail, Work
from stigmer_cli.api.steps import (
    BeginStepResponse,
    CutOffRequest,
    CutOffResponse,
    EndedStepBody,
    StepDraftBody,
    StepEndBody,
    StepPage,
)
from stigmer_cli.api.tasks import TaskReportBody, TasksReport
from stigmer_cli.api.waiting import WaitRequest
from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict, NotFound, OperationFailed, RequestError, StigmerError

ASK_BACKOFF = Backoff(initial_s=0.1, factor=1.6, cap_s=1.0)

FAILING_MAX_S = 30.0
"""For how long the server may answer one report with an error that says nothing of when it will be taken."""

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class ClockAndRng:
    """Time and randomness, handed in together: what makes two runs of the same code differ."""

    clock: Clock
    rng: random.Random


class Reports(Protocol):
    """The server, as a run sees it. Raises ServerUnavailable where it cannot be reached."""

    async def identity(self, load: RunnerLoad | None = None) -> Identity:
        """Who the server is, and which task queues the runners of its store poll; tells it `load`."""

    async def resolve_secrets(self, names: Sequence[str]) -> Mapping[str, str]:
        """The values of those of `names` that there are; raises ConfigError where the server cannot read them."""

    async def claim(
        self, execution: str, *, epoch: int, run: str, runner: str, workflow: str, first_run: str
    ) -> ClaimAnswer:
        """Whether `run`, of `workflow` and of the chain that `first_run` began, holds this epoch now."""

    async def claim_and_begin(  # noqa: PLR0913 - one parameter a field of the wire
        self, execution: str, *, epoch: int, run: str, runner: str, workflow: str, first_run: str, attempt: int
    ) -> ClaimingAttemptResponse:
        """Whether `run` holds this epoch now; if it does, its attempt begins, with what it has to do."""

    async def begin_attempt(self, execution: str, *, epoch: int, run: str, attempt: int, runner: str) -> Work | None:
        """What the attempt has to do; None where nothing is left to do."""

    async def count_attempts(self, execution: str) -> CountsResponse:
        """How many attempts of the run that holds it began, and how many ended at a busy model."""

    async def postpone(  # noqa: PLR0913 - one parameter a field of the wire
        self,
        execution: str,
        *,
        epoch: int,
        run: str,
        attempt: int,
        cause: str,
        delay_s: float,
        busy_s: float,
        broke_off: bool,
    ) -> bool:
        """Report that the attempt ended at a busy model, and when the next one follows; False where it is superseded.

        `busy_s` is for how long the model will have been busy by then.
        """

    async def append_message(  # noqa: PLR0913 - one parameter a field of the wire
        self, execution: str, *, epoch: int, run: str, attempt: int, index: int, offset: int, role: str, text: str
    ) -> bool:
        """Report that `text` stands at `offset` of message `index`; False where the attempt is superseded."""

    async def add_usage(self, execution: str, *, epoch: int, run: str, attempt: int, usage: TokenUsage) -> bool:
        """Report what an attempt used that ends without an outcome; False where the report does not count."""

    async def finish(  # noqa: PLR0913 - one parameter a field of the wire
        self,
        execution: str,
        *,
        epoch: int,
        run: str,
        attempt: int | None,
        phase: Phase,
        output: str | None,
        error: str | None,
        usage: TokenUsage | None = None,
        tail: MessageTail | None = None,
        steps: Sequence[EndedStepBody] = (),
        tasks: Sequence[TaskReportBody] = (),
        error_fields: Mapping[str, JsonValue] | None = None,
    ) -> bool:
        """Report how the run ended, with `steps` that are not recorded yet; False where the report does not count.

        Of a workflow, `tasks` are those that changed last, and `error_fields` those of the error that it ended with.
        """

    async def report_tasks(self, execution: str, report: TasksReport) -> bool:
        """Report what tasks of a workflow do; False where the attempt is superseded."""

    async def begin_step(
        self, execution: str, *, epoch: int, run: str, attempt: int, step: StepDraftBody
    ) -> BeginStepResponse:
        """Whether the attempt is to perform `step`, and if not, why, or what was recorded."""

    async def finish_step(
        self, execution: str, *, epoch: int, run: str, attempt: int, step: StepDraftBody, end: StepEndBody
    ) -> bool:
        """Record how `step` ended; False where the attempt is superseded."""

    async def cut_off_steps(self, execution: str, request: CutOffRequest) -> CutOffResponse:
        """End the steps in the air that the workflow never comes to again."""

    async def wait(self, execution: str, request: WaitRequest) -> bool:
        """Report that the execution has to wait, which ends the attempt; False where the report does not count."""

    async def listen(self, execution: str, request: ListenRequest) -> ListenResponse:
        """A page of the events that a task of the execution may take."""

    async def start_child(self, execution: str, request: ChildRequest) -> ChildResponse:
        """How far the execution is that a step waits for; it is accepted, unless it was before."""

    async def publish(self, event: Mapping[str, object]) -> None:
        """Publish an event; one that is there already is not taken a second time."""

    async def read_decisions(self, execution: str) -> Sequence[DecisionBody]:
        """What persons decided about calls of its tools."""

    async def read_recorded_steps(self, execution: str, *, after: int) -> StepPage:
        """One page of the steps that are recorded, after number `after`, with their results."""


class ReportRefused(StigmerError):
    """The server understood a report and will never take it."""

    code = "report-refused"


class ReportFailed(StigmerError):
    """The server is there, and fails at a report again and again: the next attempt is counted, and seen by a person."""

    code = "report-failed"


class WrongServer(StigmerError):
    """The server knows no execution that it gave out before: it is of another store now."""

    code = "wrong-server"


class Reporter:
    """Asks the server until it answers. Only the first failure and the first answer after it are logged."""

    def __init__(self, reports: Reports, clock_and_rng: ClockAndRng) -> None:
        self.reports = reports
        self._clock: Clock = clock_and_rng.clock
        self._clock_and_rng = clock_and_rng
        self._waiting_since: float | None = None
        self._log = structlog.get_logger()

    async def ask(self, call: Callable[[Reports], Awaitable[R]], *, otherwise: R) -> R:
        """What the server answers, however long it is away; `otherwise` where it knows no such execution.

        Has no deadline of its own: the activity around it has. Raises ReportRefused where asking again cannot help,
        Conflict where only another attempt can, and ReportFailed where the server has failed at it for `FAILING_MAX_S`.
        """
        attempt, failing_since_s = 0, None
        while True:
            try:
                answer = await call(self.reports)
            except NotFound:
                answer = otherwise
            except RequestError as error:
                raise ReportRefused(error.message) from error
            except Conflict:
                raise  # what the server has contradicts this attempt: only a new one can start again
            except StigmerError as error:
                # Away, busy, its disk full, our token stale, or somebody else on its port: all of it passes.
                attempt += 1
                now_s = self._clock.monotonic()
                failing_since_s = (failing_since_s or now_s) if isinstance(error, OperationFailed) else None
                if failing_since_s is not None and now_s - failing_since_s > FAILING_MAX_S:
                    raise ReportFailed(error.message) from error
                self._is_away(error)
                await self._clock.sleep(ASK_BACKOFF.delay_s(attempt, self._clock_and_rng.rng))
                continue
            self._is_back()
            return answer

    async def ask_its_own(self, call: Callable[[Reports], Awaitable[R]]) -> R:
        """As `ask`, about an execution that a server of ours has given out; raises WrongServer where it knows none."""

        async def answer(reports: Reports) -> tuple[R] | None:
            return (await call(reports),)

        found = await self.ask(answer, otherwise=None)
        if found is None:
            raise WrongServer("the server knows nothing of an execution that was claimed: it is of another store")
        return found[0]

    def _is_away(self, error: StigmerError) -> None:
        if self._waiting_since is None:
            self._waiting_since = self._clock.monotonic()
            self._log.warning("runner_waiting", waits_for="server", code=error.code, cause=error.message)

    def _is_back(self) -> None:
        if self._waiting_since is not None:
            waited_s = self._clock.monotonic() - self._waiting_since
            self._waiting_since = None
            self._log.info("runner_goes_on", waited_for="server", waited_s=round(waited_s, 3))
