"""One attempt at an execution: ask what there is to do, have the model answer, report the outcome, then be done.

A busy model ends the attempt, which holds no slot while it waits: the server is told when the next one begins.
The outcome is with the server before the attempt ends, because a completion that meets an outage of Temporal is lost
and the next attempt then finds that nothing is left to do.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from stigmer_cli.api.reports import ClaimAnswer, ClaimingAttemptResponse, MessageTail, Work
from stigmer_cli.domain.execution import Outcome, TokenUsage
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.runner.agent.broken import LoopBroken
from stigmer_cli.runner.agent.load import load_loop
from stigmer_cli.runner.attempt_end import ERROR_CHARS_MAX, End, fail, report_end
from stigmer_cli.runner.attempt_identity import Attempt, Superseded
from stigmer_cli.runner.contract import (
    BEGUN_MAX,
    DELIVERIES_MAX,
    FAILED_EACH_TIME,
    PERFORM_ATTEMPTS_MAX,
    SENTENCES,
    FailureKind,
)
from stigmer_cli.runner.heartbeat import ModelPostponed, NotMine, Overtaken
from stigmer_cli.runner.journal import Journal, StepParked, record_only_turn
from stigmer_cli.runner.model.seam import Model, ModelBusy, ModelFailed
from stigmer_cli.runner.model_retry import GiveUp, ModelRetry, TryAgain, Unanswered
from stigmer_cli.runner.reports import ClockAndRng, Reporter, Reports, WrongServer
from stigmer_cli.runner.secrets import Secrets
from stigmer_cli.runner.transcript import Transcript, to_storable
from stigmer_cli.runner.waits import Exhausted, Wait, Waits, pause_of
from stigmer_cli.runner.workflows import Workflows
from stigmer_cli.secret_values import DELIVERED, RedactedStream, redact_sentence
from stigmer_cli.tool_server.connection import ServerSettings

ROLE = "assistant"
MESSAGE_INDEX = 0

OVERTAKEN_S = 0.1
"""How soon the next attempt begins after one whose number is too low."""

NOT_MINE = ClaimingAttemptResponse(answer=ClaimAnswer.NOT_MINE, work=None)

Models = Callable[[str], Model]
"""The model behind a name; raises ModelFailed."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Whether the attempt's run holds the epoch, and what there is to do; `work` None: nothing."""

    is_holder: bool
    work: Work | None


@dataclass(frozen=True, kw_only=True)
class _Broken:
    """The model did not answer, or not to the end: `broke_off`. `has_progressed`: it recorded steps before."""

    failure: ModelBusy
    broke_off: bool
    has_progressed: bool = False
    wait_for: WaitFor = WaitFor.RETRIES


class TokenCount:
    """What the tries of one attempt have used so far; None: nothing is known."""

    def __init__(self) -> None:
        self.usage: TokenUsage | None = None

    def add(self, usage: TokenUsage) -> None:
        """Count what one try used."""
        self.usage = self.usage + usage if self.usage else usage


class AttemptRunner:
    """Performs attempts with the models it is given."""

    def __init__(  # noqa: PLR0913 - one parameter a part
        self,
        reporter: Reporter,
        models: Models,
        clock_and_rng: ClockAndRng,
        *,
        model_retry: ModelRetry,
        tool_settings: ServerSettings | None = None,
        workflows: Workflows | None = None,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._workflows = workflows or Workflows(reporter, clock_and_rng)
        self._reporter = reporter
        self._models = models
        self._model_retry = model_retry
        self._clock_and_rng = clock_and_rng
        self._is_leaving = is_leaving
        self._tool_settings = tool_settings or ServerSettings()
        self._on_exhausted = model_retry.on_exhausted

    async def begin(self, attempt: Attempt) -> Beginning:
        """Have the server note that `attempt` begins, and claim the execution with that if the attempt `claims`.

        Raises NotMine or WrongServer where the server knows no such execution, and Overtaken.
        """
        beginning = await (self._claim_and_begin(attempt) if attempt.claims else self._begin_claimed(attempt))
        log, work = _log_of(attempt), beginning.work
        if work is not None:
            if attempt.claims and attempt.number == 1:
                log.info("run_claimed")
            log.info("attempt_started", model=work.model, begun=work.begun)
        else:
            log.info("attempt_has_nothing_to_do" if beginning.is_holder else "run_lost_the_claim")
        return beginning

    async def _claim_and_begin(self, attempt: Attempt) -> Beginning:
        def claim(reports: Reports) -> Awaitable[ClaimingAttemptResponse]:
            return reports.claim_and_begin(
                attempt.execution,
                epoch=attempt.epoch,
                run=attempt.run,
                runner=attempt.runner,
                workflow=attempt.workflow,
                first_run=attempt.first_run,
                attempt=attempt.number,
            )

        found = await self._reporter.ask(claim, otherwise=NOT_MINE)
        if found.answer is ClaimAnswer.NOT_MINE:
            raise_not_mine(attempt)
        if found.is_overtaken:
            raise Overtaken(f"a later attempt of {attempt.execution} has begun", delay_s=OVERTAKEN_S)
        return Beginning(is_holder=found.answer is ClaimAnswer.WON, work=found.work)

    async def _begin_claimed(self, attempt: Attempt) -> Beginning:
        work = await self._reporter.ask_its_own(
            lambda reports: reports.begin_attempt(
                attempt.execution,
                epoch=attempt.epoch,
                run=attempt.run,
                attempt=attempt.number,
                runner=attempt.runner,
            )
        )
        return Beginning(is_holder=True, work=work)

    async def perform(self, attempt: Attempt, work: Work) -> None:
        """Carry out `attempt`, which has begun. Returns when the outcome is with the server, or wanted no more.

        It also returns where the execution has to wait, or only a person can decide about a step; the server knows.

        Raises ModelPostponed where another attempt is to ask a busy model again, ReportRefused where the server will
        never take the outcome.
        """
        log = _log_of(attempt)
        is_parked, end = False, None
        try:
            if _is_used_up(work, attempt):
                end = self._give_up(work)
            elif work.workflow is not None:
                end = await self._workflows.perform(attempt, work, is_leaving=self._is_leaving)
            else:
                end = await self._ask_model(attempt, work)
        except* StepParked:
            is_parked = True
        if is_parked:
            log.info("attempt_parked")
            return
        if end is None or not await report_end(self._reporter, attempt, end):
            log.info("attempt_superseded")
        elif isinstance(end, Wait):
            log.info("attempt_waits", wait_for=end.wait_for, step=end.step)
        else:
            log.info("attempt_finished", phase=end.outcome.phase)

    def _give_up(self, work: Work) -> End | Wait:
        why = FAILED_EACH_TIME if work.processes == 1 else SENTENCES[FailureKind.RUNNER_LOST]
        exhausted = Exhausted(WaitFor.RETRIES, why)
        return pause_of(exhausted, work, self._on_exhausted) or End(outcome=fail(exhausted.message))

    async def _ask_model(self, attempt: Attempt, work: Work) -> End | Wait | None:
        """How the model's work ended; None where the server wants no more of it. Raises ModelPostponed."""
        began_s = self._clock_and_rng.clock.monotonic()
        transcript = Transcript(
            lambda offset, text: self._reporter.ask_its_own(
                lambda reports: reports.append_message(
                    attempt.execution,
                    epoch=attempt.epoch,
                    run=attempt.run,
                    attempt=attempt.number,
                    index=MESSAGE_INDEX,
                    offset=offset,
                    role=ROLE,
                    text=text,
                )
            )
        )
        ended: Outcome | _Broken | Wait | None = None
        tokens = TokenCount()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_deliver(transcript), name="deliver")
                if work.spec is None:
                    ended = await self._stream_answer(work, transcript, tokens)
                else:
                    ended = await self._run_loop(attempt, work, transcript, tokens)
                transcript.close(has_tail=isinstance(ended, Outcome))
        except* Superseded:
            ended = None
        took_s = self._clock_and_rng.clock.monotonic() - began_s
        if isinstance(ended, _Broken):
            ended = await self._ask_later(attempt, work, ended, took_s, tokens)
        if isinstance(ended, Wait):
            await self._report_usage(attempt, tokens)
        if ended is None or isinstance(ended, Wait):
            return ended
        outcome = replace(ended, usage=tokens.usage)
        # A server that keeps no journals refuses a report that holds a step; the loop has recorded its own.
        is_recorded = work.has_steps is None or work.spec is not None
        turn = None if is_recorded else record_only_turn(work, outcome, took_s, self._clock_and_rng.rng)
        return End(outcome=outcome, tail=_tail_of(transcript), turn=turn)

    async def _stream_answer(self, work: Work, transcript: Transcript, tokens: TokenCount) -> Outcome | _Broken:
        try:
            await _copy(self._models(work.model), work, transcript, tokens)
        except ModelFailed as error:
            return fail(error.message)
        except ModelBusy as error:
            return _Broken(failure=error, broke_off=not transcript.is_empty)
        return Outcome(phase=Phase.COMPLETED, output=transcript.text)

    async def _run_loop(
        self, attempt: Attempt, work: Work, transcript: Transcript, tokens: TokenCount
    ) -> Outcome | _Broken | Wait:
        """As `_stream_answer`, for an agent with tools, which may have to wait; raises StepParked, too."""
        loop_type = await load_loop()
        secrets = Secrets(self._reporter)
        loop = loop_type(settings=self._tool_settings, clock=self._clock_and_rng.clock, resolve=secrets.resolve)
        journal = Journal(
            attempt,
            self._reporter,
            self._clock_and_rng,
            has_steps=work.has_steps is not False,
            is_leaving=self._is_leaving,
        )
        told = RedactedStream(DELIVERED)
        try:
            model = self._models(work.model)
            output = await loop.run(
                work,
                model,
                journal,
                lambda text: _write(transcript, told.feed(text)),
                execution=attempt.execution,
            )
        except ModelFailed as error:
            return fail(error.message)
        except Waits as waits:
            return waits.wait
        except Exhausted as exhausted:
            return pause_of(exhausted, work, self._on_exhausted) or fail(exhausted.message)
        except LoopBroken as broken:
            for usage in broken.unrecorded:
                tokens.add(usage)
            return _Broken(
                failure=broken.failure,
                broke_off=broken.broke_off,
                has_progressed=broken.has_progressed,
                wait_for=broken.wait_for,
            )
        finally:
            _write(transcript, told.close())
        return Outcome(phase=Phase.COMPLETED, output=DELIVERED.redact(to_storable(output)))

    async def _ask_later(
        self, attempt: Attempt, work: Work, broken: _Broken, took_s: float, tokens: TokenCount
    ) -> Outcome | Wait | None:
        """Have another attempt ask the model again, which raises ModelPostponed, or give up.

        Returns what follows from giving up; None where the server wants no more of this attempt.
        """
        is_first = work.model_busy_since is None or broken.broke_off or broken.has_progressed
        busy_s = 0.0 if is_first else work.model_busy_s + took_s
        unanswered = Unanswered(
            failure=broken.failure,
            tries=work.model_tries + 1,
            broken_off=work.broken_off + broken.broke_off,
            since=None if is_first else work.model_busy_since,
            busy_s=busy_s,
            time_left_s=None if attempt.time_left_s is None else attempt.time_left_s - took_s,
            is_tool_server=broken.wait_for is WaitFor.TOOL_SERVER,
        )
        match self._model_retry.decide(unanswered, self._clock_and_rng.rng):
            case GiveUp(sentence=sentence, is_timed_out=is_timed_out):
                exhausted = Exhausted(broken.wait_for, sentence)
                pause = None if is_timed_out else pause_of(exhausted, work, self._on_exhausted)
                return pause or fail(sentence)
            case TryAgain(delay_s=delay_s):
                await self._report_usage(attempt, tokens)
                if await self._report_postponed(attempt, broken, delay_s=delay_s, busy_s=busy_s + delay_s):
                    raise ModelPostponed(broken.failure.message, delay_s=delay_s)
                return None

    async def _report_postponed(self, attempt: Attempt, broken: _Broken, *, delay_s: float, busy_s: float) -> bool:
        return await self._reporter.ask_its_own(
            lambda reports: reports.postpone(
                attempt.execution,
                epoch=attempt.epoch,
                run=attempt.run,
                attempt=attempt.number,
                cause=redact_sentence(broken.failure.message)[:ERROR_CHARS_MAX],
                delay_s=delay_s,
                busy_s=busy_s,
                broke_off=broken.broke_off,
            )
        )

    async def _report_usage(self, attempt: Attempt, tokens: TokenCount) -> None:
        """Tell the server what an attempt used that ends without an outcome; one from before it counted is not told."""
        if (usage := tokens.usage) is not None:
            await self._reporter.ask(
                lambda reports: reports.add_usage(
                    attempt.execution, epoch=attempt.epoch, run=attempt.run, attempt=attempt.number, usage=usage
                ),
                otherwise=False,
            )


async def _copy(model: Model, work: Work, transcript: Transcript, tokens: TokenCount) -> None:
    """Write the answer down, without the secrets that this process had: a model may say again what it was told."""
    told, is_cut = RedactedStream(DELIVERED), False
    try:
        async with aclosing(model.stream(work)) as stream:
            async for part in stream:
                if isinstance(part, TokenUsage):
                    tokens.add(part)
                elif is_cut := not _write(transcript, told.feed(part)):
                    return
    finally:
        if not is_cut:
            _write(transcript, told.close())


def _write(transcript: Transcript, text: str) -> bool:
    """Whether there is room for more."""
    return not text or transcript.write(text)


async def _deliver(transcript: Transcript) -> None:
    if not await transcript.deliver_until_closed():
        raise Superseded


def _tail_of(transcript: Transcript) -> MessageTail | None:
    offset, text = transcript.tail
    return MessageTail(index=MESSAGE_INDEX, offset=offset, role=ROLE, text=text) if text else None


def raise_not_mine(attempt: Attempt) -> NoReturn:
    """Raise NotMine, which ends the run, or WrongServer, so that it goes on, if an earlier attempt may have claimed."""
    if attempt.number > 1:
        raise WrongServer(f"the server knows nothing of {attempt.execution}, which an earlier attempt may have claimed")
    raise NotMine(f"this store knows no {attempt.execution} with the workflow {attempt.workflow}")


def _log_of(attempt: Attempt) -> structlog.typing.FilteringBoundLogger:
    names = {"execution": attempt.execution, "epoch": attempt.epoch, "run": attempt.run, "attempt": attempt.number}
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(**names)
    return log


def _is_used_up(work: Work, attempt: Attempt) -> bool:
    """Whether too many runner processes have begun it, or it was begun or handed out too often, without progress."""
    processes = work.begun if work.processes is None else work.processes
    deliveries = attempt.number_since(work.progressed) - work.model_tries
    return processes > PERFORM_ATTEMPTS_MAX or work.begun > BEGUN_MAX or deliveries > DELIVERIES_MAX
