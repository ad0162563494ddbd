"""The journal of an execution as one attempt sees it: what is recorded is not performed again.

A step of effect `none` is recorded once, after it has ended: to begin it would cost a request, and nothing that it did
has to be known. Any other step begins at the server first, so that a later attempt knows that it may have had effects.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.reports import Work
from stigmer_cli.api.sessions import ExchangeBody
from stigmer_cli.api.steps import (
    BeginStepResponse,
    EndedStepBody,
    StepContentsBody,
    StepDraftBody,
    StepEndBody,
    StepPage,
)
from stigmer_cli.api.usage import UsageBody, usage_body
from stigmer_cli.domain.execution import Outcome
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import (
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
from stigmer_cli.json_text import dump_json
from stigmer_cli.runner.attempt_identity import Attempt, Superseded
from stigmer_cli.runner.heartbeat import RunnerStopped
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.transcript import to_storable
from stigmer_cli.secret_values import DELIVERED

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""What JSON can say. A result comes back as `json.loads` makes it, also where it was performed just now."""

KEPT_BYTES_MAX = 64 * 1024 * 1024
"""How much of the results of a journal is read ahead; the server is asked about each later step."""

UNDERWAY_S = 0.7
"""How long a step that must not happen twice goes on when its attempt is ended: until then it may be recorded, so that
nobody has to decide about it. It is what a runner that stops has left after its grace, before it is made to end."""

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


class Journal:
    """The recorded steps of one execution, as one attempt of it sees them. Steps may be performed at the same time."""

    def __init__(
        self,
        attempt: Attempt,
        reporter: Reporter,
        clock_and_rng: ClockAndRng,
        *,
        has_steps: bool,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        """`has_steps` is what the server said when the attempt began: False saves asking for an empty journal.

        `is_leaving`: whether the attempt is about to end, so that it must not begin what may not be cut off.
        """
        self._is_leaving = is_leaving
        self._attempt = attempt
        self._reporter = reporter
        self._clock_and_rng = clock_and_rng
        self._kept: dict[str, StepContentsBody] = {}
        self._is_read = self._is_whole = not has_steps
        """`_is_whole`: each step that is recorded is among `_kept`, unless this attempt performed it."""
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
        draft = _draft_of(step, _new_nonce(self._clock_and_rng.rng))
        kept = await self._find_kept(draft)
        if kept is not None:
            return _result_of(kept.state, kept.result, kept.error)
        if step.effect is Effect.ONCE and self._is_leaving():
            raise RunnerStopped(f"another attempt is to begin {step.name}: this one ends soon")
        admit()
        if step.effect is not Effect.NONE or not self._is_whole or step.key in self._kept:
            begun = await self._begin(draft)
            if begun.answer is BeginAnswer.RECORDED:
                return _result_of(begun.state, begun.result, begun.error)
        if step.effect is Effect.ONCE:
            return await _end_soon(lambda: self._perform(draft, effect))
        return await self._perform(draft, effect)

    async def is_recorded(self, key: str) -> bool:
        """Whether the step with this key was recorded before this attempt, among what was read ahead."""
        await self._read_once()
        return key in self._kept

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
        await self._read_once()
        return {step.name for step in self._kept.values() if step.kind is StepKind.TOOL}

    async def _perform(self, draft: StepDraftBody, effect: Callable[[], Awaitable[Json | Performed]]) -> Json:
        began_s = self._clock_and_rng.clock.monotonic()
        try:
            given = await effect()
            performed = given if isinstance(given, Performed) else Performed(result=given)
            text = _dump_result(draft, performed)
            end = StepEndBody(state=StepState.DONE, result=text, usage=performed.usage)
        except StepFailed as failed:
            error = DELIVERED.redact(to_storable(failed.message))[:ERROR_CHARS_MAX]
            details = None if failed.details is None else DELIVERED.redact_json(dump_json(failed.details))
            end = StepEndBody(state=StepState.FAILED, error=error, result=details, usage=failed.usage)
        took_s = self._clock_and_rng.clock.monotonic() - began_s
        if not await self._finish(draft, end.model_copy(update={"took_s": max(0.0, took_s)})):
            raise Superseded
        return _result_of(end.state, end.result, end.error)

    async def _find_kept(self, draft: StepDraftBody) -> StepContentsBody | None:
        """The step if it was read ahead, with this very input; any other is the server's to judge."""
        await self._read_once()
        found = self._kept.get(draft.key)
        return found if found is not None and found.input_hash == draft.input_hash else None

    async def _read_once(self) -> None:
        if not self._is_read:
            async with self._reading:
                if not self._is_read:
                    await self._read_ahead()

    async def _read_ahead(self) -> None:
        after: int | None = 0
        total = 0
        while after is not None and total < KEPT_BYTES_MAX:
            page = await self._read_page(after)
            self._kept.update({item.key: item for item in page.items})
            total += sum(len(item.result or "") for item in page.items)
            after = page.next_after
        self._is_whole = after is None
        self._is_read = True

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
            f"{RESULT_BYTES_MAX:,} is the most"
        )
        raise StepFailed(sentence, usage=performed.usage)
    return text


def canonical_json(value: Json) -> str:
    """`value` as JSON text, always the same for the same value; raises ValueError or TypeError where it is no JSON."""
    return dump_json(value, is_canonical=True)


def _result_of(state: StepState | None, result: str | None, error: str | None) -> Json:
    found: Json = None if result is None else json.loads(result)
    if state is StepState.FAILED:
        raise StepFailed(error or "the step failed", details=found)
    return found
