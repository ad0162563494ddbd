"""One attempt at an execution: ask what there is to do, have the model answer, report the outcome, then be done.

The outcome is with the server before the attempt ends, because a completion that meets an outage of Temporal is lost
and the next attempt then finds that nothing is left to do.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

from stigmer_cli.api.reports import Work
from stigmer_cli.backoff import Backoff
from stigmer_cli.domain.execution import Outcome, TokenUsage
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.contract import BEGUN_MAX, PERFORM_ATTEMPTS_MAX, SENTENCES, FailureKind
from stigmer_cli.runner.heartbeat import ModelInterrupted
from stigmer_cli.runner.model.seam import Model, ModelBusy, ModelFailed
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.transcript import Transcript

MODEL_TRIES_MAX = 3
MODEL_BACKOFF = Backoff(initial_s=0.5, factor=2.0, cap_s=5.0)
ROLE = "assistant"
MESSAGE_INDEX = 0
ERROR_CHARS_MAX = 2_000

Models = Callable[[str], Model]
"""The model behind a name; raises ModelFailed."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Which try of which run this is; `first_run` is the first of the run's chain in Temporal."""

    execution: str
    epoch: int
    run: str
    workflow: str
    first_run: str
    number: int
    runner: str


class TokenCount:
    """What the tries of one attempt have used so far; None: nothing is known."""

    def __init__(self) -> None:
        self.usage: TokenUsage | None = None

    def add(self, usage: TokenUsage) -> None:
        """Count what one try used."""
        self.usage = self.usage + usage if self.usage else usage


class Superseded(Exception):
    """The server wants no more of this attempt."""


class AttemptRunner:
    """Performs attempts with the models it is given."""

    def __init__(self, reporter: Reporter, models: Models, clock_and_rng: ClockAndRng) -> None:
        self._reporter = reporter
        self._models = models
        self._clock_and_rng = clock_and_rng

    async def perform(self, attempt: Attempt) -> None:
        """Carry out `attempt`. Returns when the outcome is with the server, or when the attempt is superseded.

        Raises ModelInterrupted where another attempt should start again, ReportRefused where the server will never
        take the outcome.
        """
        log = structlog.get_logger().bind(execution=attempt.execution, epoch=attempt.epoch, attempt=attempt.number)
        work = await self._reporter.ask_its_own(
            lambda reports: reports.begin_attempt(
                attempt.execution,
                epoch=attempt.epoch,
                run=attempt.run,
                attempt=attempt.number,
                runner=attempt.runner,
            )
        )
        if work is None:
            log.info("attempt_has_nothing_to_do")
            return
        log.info("attempt_started", model=work.model, begun=work.begun)
        outcome = _give_up() if _is_used_up(work) else await self._ask_model(attempt, work)
        if outcome is None or not await self._report_outcome(attempt, outcome):
            log.info("attempt_superseded")
            return
        log.info("attempt_finished", phase=outcome.phase)

    async def _ask_model(self, attempt: Attempt, work: Work) -> Outcome | None:
        """How the model's work ended; None where the server wants no more of it."""
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
        outcome: Outcome | None = None
        tokens = TokenCount()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_deliver(transcript), name="deliver")
                outcome = await self._stream_answer(work, transcript, tokens)
                transcript.close()
        except* Superseded:
            outcome = None
        except* ModelInterrupted:
            await self._report_usage(attempt, tokens)
            raise
        return outcome and replace(outcome, usage=tokens.usage)

    async def _stream_answer(self, work: Work, transcript: Transcript, tokens: TokenCount) -> Outcome:
        for tried in range(1, MODEL_TRIES_MAX + 1):
            try:
                await _copy(self._models(work.model), work, transcript, tokens)
            except ModelFailed as error:
                return _fail(error.message)
            except ModelBusy as error:
                if not transcript.is_empty and work.begun < PERFORM_ATTEMPTS_MAX:
                    raise ModelInterrupted(error.message) from error
                if not transcript.is_empty or tried == MODEL_TRIES_MAX:
                    return _fail(error.message)
                await self._clock_and_rng.clock.sleep(MODEL_BACKOFF.delay_s(tried, self._clock_and_rng.rng))
            else:
                break
        return Outcome(phase=Phase.COMPLETED, output=transcript.text)

    async def _report_usage(self, attempt: Attempt, tokens: TokenCount) -> None:
        """Tell the server what an attempt used that ends without an outcome; one from before it counted is not told."""
        if (usage := tokens.usage) is not None:
            await self._reporter.ask(
                lambda reports: reports.add_usage(
                    attempt.execution, epoch=attempt.epoch, run=attempt.run, attempt=attempt.number, usage=usage
                ),
                otherwise=False,
            )

    async def _report_outcome(self, attempt: Attempt, outcome: Outcome) -> bool:
        return await self._reporter.ask_its_own(
            lambda reports: reports.finish(
                attempt.execution,
                epoch=attempt.epoch,
                run=attempt.run,
                attempt=attempt.number,
                phase=outcome.phase,
                output=outcome.output,
                error=outcome.error,
                usage=outcome.usage,
            )
        )


async def _copy(model: Model, work: Work, transcript: Transcript, tokens: TokenCount) -> None:
    async with aclosing(model.stream(work)) as stream:
        async for part in stream:
            if isinstance(part, TokenUsage):
                tokens.add(part)
            elif not transcript.write(part):
                return


async def _deliver(transcript: Transcript) -> None:
    if not await transcript.deliver_until_closed():
        raise Superseded


def _is_used_up(work: Work) -> bool:
    """Whether too many runner processes have begun it, or it was begun too often."""
    processes = work.begun if work.processes is None else work.processes
    return processes > PERFORM_ATTEMPTS_MAX or work.begun > BEGUN_MAX


def _give_up() -> Outcome:
    return Outcome(phase=Phase.FAILED, error=SENTENCES[FailureKind.RUNNER_LOST])


def _fail(sentence: str) -> Outcome:
    return Outcome(phase=Phase.FAILED, error=sentence[:ERROR_CHARS_MAX])
