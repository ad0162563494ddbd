"""The journal of an execution as one attempt sees it: what is recorded is not performed again.

A step of effect `none` is recorded once, after it has ended: to begin it would cost a request, and nothing that it did
has to be known. Any other step begins at the server first, so that a later attempt knows that it may have had effects.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.reports import Work
from stigmer_cli.api.sessions import ExchangeBody
from stigmer_cli.api.steps import (
    BeginStepResponse,
    CutOffRequest,
    EndedStepBody,
    StepDraftBody,
    StepEndBody,
    StepPage,
)
from stigmer_cli.api.usage import UsageBody, usage_body
from stigmer_cli.domain.execution import Outcome
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import (
    ASK_FOR_LESS,
    FIRST_TURN,
    INPUT_BYTES_MAX,
    NAME_MAX,
    RESULT_BYTES_MAX,
    BeginAnswer,
    Effect,
    StepKind,
    StepState,
    hash_of,
)
from stigmer_cli.errors import OperationFailed, StigmerError
from stigmer_cli.json_text import dump_json, read_whole
from stigmer_cli.runner.attempt_identity import Attempt, Superseded
from stigmer_cli.runner.heartbeat import RunnerStopped
from stigmer_cli.runner.recorded_steps import RecordedSteps
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.transcript import to_storable
from stigmer_cli.secret_values import DELIVERED, redact_sentence

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""What JSON can say. A result comes back as `json.loads` makes it, also where it was performed just now."""

UNDERWAY_S = 0.7
"""How long a step that must not happen twice goes on when its attempt is ended: until then it may be recorded, so that
nobody has to decide about it. It is what a runner that stops has left after its grace, before it is made to end."""

BEGINS = frozenset({Effect.REPEATABLE, Effect.ONCE})
"""Steps that are seen while they are performed, and of which a later attempt knows that they may have had effects."""

CUT_OFF_S = 5.0
"""How long the server may take to record that a step was cut off."""

ERROR_CHARS_MAX = 2_000
NONCE_BITS = 64


class StepFailed(OperationFailed):
    """The step failed, and that is recorded; the message is a sentence that people and models read."""

    code = "step-failed"

    def __init__(self, message: str, *, usage: UsageBody | None = None, details: Json = None) -> None:
        """`usage` is what the step used all the same, if that is known. `details` are recorded with the message."""
        super().__init__(message)
        self.usage = usage
        self.details = details


class StepParked(StigmerError):
    """Only a person can decide about a step, so the attempt ends without an outcome; the server knows why."""

    code = "step-parked"


@dataclass(frozen=True, kw_only=True)
class StepCall:
    """A step that is to be performed. `key` is its place in the execution, the same on each replay.

    `input` is all that its result may depend on: a step that was recorded with another one is not taken over.
    """

    key: str
    kind: StepKind
    name: str
    effect: Effect
    input: Json


@dataclass(frozen=True, kw_only=True)
class Performed:
    """What an effect returned, with the tokens that it used."""

    result: Json
    usage: UsageBody | None = None


CutOff: TypeAlias = Callable[[], StepFailed | None]
"""What is recorded of a step that is cut off now; None where its attempt ends, so that another one may go on."""


class Journal:
    """The recorded steps of one execution, as one attempt of it sees them. Steps may be performed at the same time."""

    def __init__(  # noqa: PLR0913 - one parameter a part
        self,
        attempt: Attempt,
        reporter: Reporter,
        clock_and_rng: ClockAndRng,
        *,
        has_steps: bool,
        is_leaving: Callable[[], bool] = lambda: False,
        cut_off: CutOff | None = None,
        begins: Collection[Effect] = BEGINS,
    ) -> None:
        """`has_steps` is what the server said when the attempt began: False saves asking for an empty journal.

        `is_leaving`: whether the attempt is about to end, so that it must not begin what may not be cut off.

        `cut_off` is what is recorded of a step of effect `once` that is cut off while its attempt goes on; without it
        nothing is, since nobody but the end of an attempt cuts off a step.

        Steps of the effects `begins` begin at the server before they are performed; ONCE is among them.
        """
        self._begins = begins
        self._is_leaving = is_leaving
        self._cut_off = cut_off
        self._attempt = attempt
        self._reporter = reporter
        self._clock_and_rng = clock_and_rng
        self._recorded = RecordedSteps(self._read_page, is_empty=not has_steps, is_window=cut_off is not None)
        self._may_be_in_the_air = has_steps
        self._decisions: Mapping[str, DecisionBody] | None = None
        self._reading = asyncio.Lock()
        self._log = structlog.get_logger().bind(
            execution=attempt.execution, epoch=attempt.epoch, run=attempt.run, attempt=attempt.number
        )

    async def perform(
        self,
        step: StepCall,
        effect: Callable[[], Awaitable[Json | Performed]],
        *,
        admit: Callable[[], None] = lambda: None,
    ) -> Json:
        """The step's recorded result, or what `effect` returns, once that is recorded.

        `admit` is asked before a step begins that was not read ahead, and what it raises is passed on.

        `effect` raises StepFailed to have a failure recorded; what else it raises is passed on, and nothing is
        recorded. Raises StepFailed for a failure that is recorded, or for a result that is no JSON or too long;
        StepParked where only a person may have the step performed again; Superseded where the attempt counts no more;
        RunnerStopped where the attempt is leaving, for a step of effect `once` that is not recorded.
        """
        draft = self.draft(step)
        kept = await self._recorded.find(draft.key)
        if kept is not None and kept.input_hash == draft.input_hash:  # any other is the server's to judge
            self._recorded.take(draft.key)
            return _result_of(kept.state, kept.result, kept.error)
        if step.effect is Effect.ONCE and self._is_leaving():
            raise RunnerStopped(f"another attempt is to begin {step.name}: this one ends soon")
        admit()
        if step.effect is not Effect.ONCE:
            return await self._begin_and_perform(draft, effect)
        try:
            return await self._begin_and_perform(draft, effect)
        except asyncio.CancelledError:
            if self._cut_off is not None and (failure := self._cut_off()) is not None:
                await self._record_cut_off(draft, failure)
            raise

    async def find(self, key: str) -> Json:
        """The recorded result of a step that did not fail; None where there is none, or it is beyond what is kept."""
        kept = await self._recorded.find(key)
        return None if kept is None else _result_of(kept.state, kept.result, kept.error)

    async def is_recorded(self, key: str) -> bool:
        """Whether the step with this key was recorded before this attempt, among what was read ahead."""
        return await self._recorded.find(key) is not None

    async def cut_off(self, keys: Sequence[str], failure: StepFailed) -> None:
        """Record `failure` for steps in the air at or below `keys`, which nobody comes to again. Raises Superseded."""
        if not self._may_be_in_the_air:
            return
        request = CutOffRequest(
            epoch=self._attempt.epoch,
            run=self._attempt.run,
            attempt=self._attempt.number,
            below=list(keys),
            end=_end_of_failure(failure),
        )
        told = await self._reporter.ask_its_own(lambda reports: reports.cut_off_steps(self._attempt.execution, request))
        if not told.taken:
            raise Superseded
        self._may_be_in_the_air = told.left > 0

    async def read_decisions(self) -> Mapping[str, DecisionBody]:
        """What persons decided about calls of this execution, by the key of the step.

        It is read once: nobody decides anything while an attempt is performed.
        """
        async with self._reading:
            if self._decisions is None:
                found = await self._reporter.ask_its_own(
                    lambda reports: reports.read_decisions(self._attempt.execution)
                )
                self._decisions = {one.step: one for one in found if one.verdict is not None}
            return self._decisions

    async def list_recorded_tools(self) -> Collection[str]:
        """The names of the tools of which calls are recorded, among what was read ahead."""
        return {step.name for step in await self._recorded.list() if step.kind is StepKind.TOOL}

    def draft(self, step: StepCall) -> StepDraftBody:
        """The step as the server records it where it begins by another report."""
        return _draft_of(step, _new_nonce(self._clock_and_rng.rng))

    async def _begin_and_perform(self, draft: StepDraftBody, effect: Callable[[], Awaitable[Json | Performed]]) -> Json:
        if draft.effect in self._begins or not self._recorded.is_whole or draft.key in self._recorded:
            begun = await self._begin(draft)
            if begun.answer is BeginAnswer.RECORDED:
                return _result_of(begun.state, begun.result, begun.error)
        if draft.effect is Effect.ONCE:
            return await _end_soon(lambda: self._perform(draft, effect))
        return await self._perform(draft, effect)

    async def _record_cut_off(self, draft: StepDraftBody, failure: StepFailed) -> None:
        """Record `failure` for a step that is not recorded: nobody will perform it again, or has to decide about it."""
        is_told = False
        with suppress(StigmerError, Superseded, TimeoutError):
            async with asyncio.timeout(CUT_OFF_S):
                # Its beginning may be on its way to the server still: said twice, it counts once.
                if (await self._begin(draft)).answer is BeginAnswer.GO:
                    await self._finish(draft, _end_of_failure(failure))
                is_told = True
        self._may_be_in_the_air |= not is_told

    async def _perform(self, draft: StepDraftBody, effect: Callable[[], Awaitable[Json | Performed]]) -> Json:
        began_s = self._clock_and_rng.clock.monotonic()
        try:
            given = await effect()
            performed = given if isinstance(given, Performed) else Performed(result=given)
            text = _dump_result(draft, performed)
            end = StepEndBody(state=StepState.DONE, result=text, usage=performed.usage)
        except StepFailed as failed:
            end = _end_of_failure(failed)
        took_s = self._clock_and_rng.clock.monotonic() - began_s
        if not await self._finish(draft, end.model_copy(update={"took_s": max(0.0, took_s)})):
            raise Superseded
        return _result_of(end.state, end.result, end.error)

    async def _read_page(self, after: int) -> StepPage:
        execution = self._attempt.execution
        return await self._reporter.ask_its_own(lambda reports: reports.read_recorded_steps(execution, after=after))

    async def _begin(self, draft: StepDraftBody) -> BeginStepResponse:
        """Have the step begin; the answer is `go` or `recorded`. Raises StepParked or Superseded."""
        attempt = self._attempt
        begun = await self._reporter.ask_its_own(
            lambda reports: reports.begin_step(
                attempt.execution, epoch=attempt.epoch, run=attempt.run, attempt=attempt.number, step=draft
            )
        )
        match begun.answer:
            case BeginAnswer.STALE:
                raise Superseded
            case BeginAnswer.UNKNOWN | BeginAnswer.MISMATCH:
                self._log.warning("step_parked", step=draft.key, answer=begun.answer, cause=begun.reason)
                raise StepParked(begun.reason)
            case BeginAnswer.GO | BeginAnswer.RECORDED:
                return begun

    async def _finish(self, draft: StepDraftBody, end: StepEndBody) -> bool:
        attempt = self._attempt
        return await self._reporter.ask_its_own(
            lambda reports: reports.finish_step(
                attempt.execution, epoch=attempt.epoch, run=attempt.run, attempt=attempt.number, step=draft, end=end
            )
        )


async def _end_soon(work: Callable[[], Awaitable[Json]]) -> Json:
    """What `work` returns or raises; where it is cancelled it has UNDERWAY_S seconds to end."""

    async def attempt() -> tuple[Json, Exception | None]:
        try:
            return await work(), None
        except Exception as error:  # noqa: BLE001 - raised again below, and not as that of a group
            return None, error

    async with asyncio.TaskGroup() as group:
        task = group.create_task(attempt(), name="step with effect once")
        try:
            result, error = await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=UNDERWAY_S)
            raise
    if error is not None:
        raise error
    return result


def record_only_turn(work: Work, outcome: Outcome, took_s: float, rng: random.Random) -> EndedStepBody:
    """The one turn of an agent without tools, which ended with `outcome`: it is recorded with that, in one request.

    What it gave is the output, and what it took stands in agent and execution: neither is kept a second time.
    """
    is_done = outcome.phase is Phase.COMPLETED
    asked: dict[str, Json] = {"instructions": work.instructions, "message": work.message, "model": work.model}
    if work.conversation:
        asked["conversation"] = describe_exchanges(work.conversation)
    return EndedStepBody(
        step=StepDraftBody(
            key=FIRST_TURN,
            kind=StepKind.TURN,
            name=to_storable(work.model)[:NAME_MAX],
            effect=Effect.NONE,
            nonce=_new_nonce(rng),
            input_hash=hash_of(dump_json(asked, is_canonical=True)),
        ),
        end=StepEndBody(
            state=StepState.DONE if is_done else StepState.FAILED,
            error=outcome.error,
            usage=usage_body(outcome.usage) if outcome.usage else None,
            took_s=max(0.0, took_s),
            is_outcome=is_done,
        ),
    )


def describe_exchanges(exchanges: Sequence[ExchangeBody]) -> Json:
    """What was said before, as a part of the input of a turn: by id and hash, so that no text is kept twice."""
    return [
        {"execution": one.execution, "hash": hash_of(dump_json([one.message, one.output], is_canonical=True))}
        for one in exchanges
    ]


def _new_nonce(rng: random.Random) -> str:
    return f"{rng.getrandbits(NONCE_BITS):016x}"


def _draft_of(step: StepCall, nonce: str) -> StepDraftBody:
    """The step as the server records it. What it keeps of the input has no secrets; the hash is that of all of it."""
    text = dump_json(step.input, is_canonical=True)
    return StepDraftBody(
        key=step.key,
        kind=step.kind,
        name=to_storable(step.name)[:NAME_MAX],
        effect=step.effect,
        nonce=nonce,
        input_hash=hash_of(text),
        input=DELIVERED.redact_json(text) if len(text.encode()) <= INPUT_BYTES_MAX else None,
    )


def _end_of_failure(failed: StepFailed) -> StepEndBody:
    error = redact_sentence(to_storable(failed.message))[:ERROR_CHARS_MAX]
    details = None if failed.details is None else DELIVERED.redact_json(dump_json(failed.details))
    return StepEndBody(state=StepState.FAILED, error=error, result=details, usage=failed.usage)


def _dump_result(draft: StepDraftBody, performed: Performed) -> str:
    """The result as it is recorded and, so that a replay gives the same, as it is returned: without secrets."""
    try:
        text = dump_json(performed.result)
    except (TypeError, ValueError) as error:
        sentence = f"the result of {draft.name} cannot be recorded, because it is no JSON: {error}"
        raise StepFailed(sentence, usage=performed.usage) from error
    if len(text) <= RESULT_BYTES_MAX:  # else it is refused all the same, and to look through it takes long
        text = DELIVERED.redact_json(text)
    if (length := len(text.encode())) > RESULT_BYTES_MAX:
        sentence = (
            f"the result of {draft.name} is too long to be recorded: {length:,} bytes as JSON, and "
            f"{RESULT_BYTES_MAX:,} is the most; {ASK_FOR_LESS}"
        )
        raise StepFailed(sentence, usage=performed.usage)
    return text


def canonical_json(value: Json) -> str:
    """`value` as JSON text, always the same for the same value; raises ValueError or TypeError where it is no JSON."""
    return dump_json(value, is_canonical=True)


def _result_of(state: StepState | None, result: str | None, error: str | None) -> Json:
    found: Json = None if result is None else read_whole(result)
    if state is StepState.FAILED:
        raise StepFailed(error or "the step failed", details=found)
    return found
