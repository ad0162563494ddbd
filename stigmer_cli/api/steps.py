"""Steps on the wire: what a run reports about its journal, and how it is shown.

Inputs and results are JSON texts inside JSON strings: the server keeps them as they are, and need not look into them.
"""

from typing import Annotated, Literal

from pydantic import Field

from stigmer_cli.api.run_report import NUMBER_MAX, Number, RunReport
from stigmer_cli.api.usage import UsageBody, usage_body
from stigmer_cli.api.wire import Asked, Moment, Sent
from stigmer_cli.domain.step import (
    INPUT_BYTES_MAX,
    KEY_MAX,
    NAME_MAX,
    RESULT_BYTES_MAX,
    BeginAnswer,
    Effect,
    Step,
    StepKind,
    StepState,
)

ERROR_MAX = 20_000
HASH_MAX = 64
TOOK_MAX_S = 366 * 86_400.0
BELOW_MAX = 1_000
STEPS_SHOWN_MAX = 1_000
"""How many steps an execution shows: the last ones. `GET .../steps` has the others."""

Key = Annotated[str, Field(min_length=2, max_length=KEY_MAX, pattern="^/")]


class StepDraftBody(Asked):
    """A step that an attempt performs. `nonce` names the call that begins it, and is sent again where that is repeated.

    `input` is left out where it is longer than INPUT_BYTES_MAX.
    """

    key: Key
    kind: StepKind
    name: str = Field(max_length=NAME_MAX)
    effect: Effect
    nonce: str = Field(min_length=8, max_length=HASH_MAX)
    input_hash: str = Field(min_length=1, max_length=HASH_MAX)
    input: str | None = Field(default=None, max_length=INPUT_BYTES_MAX)


class StepEndBody(Asked):
    """How a step ended. `took_s` is how long it took by the runner's clock.

    `is_outcome`: its result is the output that the outcome holds, and is not sent twice.
    """

    state: Literal[StepState.DONE, StepState.FAILED]
    result: str | None = Field(default=None, max_length=RESULT_BYTES_MAX)
    error: str | None = Field(default=None, max_length=ERROR_MAX)
    usage: UsageBody | None = None
    took_s: float = Field(default=0.0, ge=0.0, le=TOOK_MAX_S)
    is_outcome: bool = False


class EndedStepBody(Asked):
    """A step that has ended."""

    step: StepDraftBody
    end: StepEndBody


class BeginStepRequest(RunReport):
    """An attempt wants to perform a step."""

    attempt: Number
    step: StepDraftBody


class FinishStepRequest(RunReport):
    """A step has ended, or a step of effect `none` or `repeatable` was performed without having begun here."""

    attempt: Number
    step: StepDraftBody
    end: StepEndBody


class CutOffRequest(RunReport):
    """A workflow never comes to the steps at or `below` these keys again: those in the air end so. "": all of them."""

    attempt: Number
    below: list[Annotated[str, Field(max_length=KEY_MAX, pattern="^(/|$)")]] = Field(min_length=1, max_length=BELOW_MAX)
    end: StepEndBody


class CutOffResponse(Sent):
    """Whether the report counted, and how many steps are still in the air elsewhere."""

    taken: bool
    left: int = 0


class StepBody(Sent):
    """A step; `tokens` is what its model used. `number` counts the steps of the execution from 1, as they began."""

    number: int
    key: str
    kind: StepKind
    name: str
    state: StepState
    effect: Effect
    attempts: int
    started_at: Moment
    completed_at: Moment | None = None
    error: str | None = None
    tokens: UsageBody | None = None
    runner: str | None = None


class BeginStepResponse(Sent):
    """What to do. With `recorded`: the state of the step, and its `result` or its `error`.

    `reason` is a sentence where a person has to decide.
    """

    answer: BeginAnswer
    state: StepState | None = None
    result: str | None = None
    error: str | None = None
    reason: str = ""


class StepContentsBody(StepBody):
    """A step with its input and its result, as JSON texts; absent where nothing is kept."""

    input_hash: str
    input: str | None = None
    result: str | None = None


class JournalBody(Sent):
    """The last `STEPS_SHOWN_MAX` steps of an execution, in order of beginning, and how many there are."""

    steps: list[StepBody]
    count: int


class StepPage(Sent):
    """Steps in order of beginning; `next_after` is what `after` takes for the page after. `result` only if asked for.

    With results only steps that have one, or an error, are listed, and a page is limited by their length.
    """

    items: list[StepContentsBody]
    next_after: int | None = Field(default=None, le=NUMBER_MAX)


def step_body(step: Step) -> StepBody:
    """`step` as it goes over the wire."""
    return StepBody.model_validate(_fields(step))


def contents_body(step: Step, *, input_text: str | None = None, result: str | None = None) -> StepContentsBody:
    """`step` with what it took and gave."""
    return StepContentsBody.model_validate(
        {**_fields(step), "input_hash": step.input_hash, "input": input_text, "result": result}
    )


def _fields(step: Step) -> dict[str, object]:
    return {
        "number": step.seq,
        "key": step.key,
        "kind": step.kind,
        "name": step.name,
        "state": step.state,
        "effect": step.effect,
        "attempts": step.attempts,
        "started_at": step.started_at,
        "completed_at": step.completed_at,
        "error": step.error,
        "tokens": usage_body(step.usage) if step.usage else None,
        "runner": step.runner or None,
    }
