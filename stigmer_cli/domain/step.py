"""A step: one unit of work of an execution whose result is recorded, so that a later attempt does not repeat it.

              ┌──────────────── taken over: effect none or repeatable ────┐
              ▼                                                           │
    begin ─▶ BEGUN ──finish──▶ DONE | FAILED                              │
              │ └──(its attempt is gone)──────────────────────────────────┘
              └────(its attempt is gone, effect once)──▶ UNKNOWN ──a person decides──▶ BEGUN | SKIPPED

A step of effect `none` or `repeatable` may also be recorded as a whole once it has ended: then it never is BEGUN.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.identity import RunId

RESULT_BYTES_MAX = 8 * 1024 * 1024
"""How much JSON text, in UTF-8, a step may leave; a larger result fails it."""

ASK_FOR_LESS = "it was performed all the same: ask for less at a time, such as one page"
"""The way out of a result that is too long, as the end of a sentence."""

INPUT_BYTES_MAX = 256 * 1024
"""How much JSON text of an input is kept for people to read. A replay compares the hash, and needs no more of it."""

KEY_MAX = 500
NAME_MAX = 200

FIRST_TURN = "/turns/0"
"""The key of the only turn of an agent without tools."""

CUT_OFF = "it was cut off before it had ended, by a timeout, or because another branch had won"
"""In the error of a step of a workflow that may have taken effect, and that nobody performs again unasked."""

NOT_IN_TIME = "it was not done within"
"""In the error of a workflow, or a task of it, that was not done before its timeout."""

_STEP_IN_REASON = re.compile(r"step (?P<key>/\S+) ")


class StepKind(StrEnum):
    """What a step is; scripts may rely on these words."""

    TURN = "turn"
    TOOL = "tool"
    TASK = "task"


class Effect(StrEnum):
    """What performing a step twice does; scripts may rely on these words.

    NONE: it costs time or money, nothing else. REPEATABLE: the other side is as after performing it once. ONCE: it
    happens twice.
    """

    NONE = "none"
    REPEATABLE = "repeatable"
    ONCE = "once"


class StepState(StrEnum):
    """How far a step is; scripts may rely on these words.

    UNKNOWN: its effect is ONCE, it began, its attempt is gone, and nothing says whether it took effect. SKIPPED: a
    person gave its result.
    """

    BEGUN = "BEGUN"
    DONE = "DONE"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"


RECORDED: frozenset[StepState] = frozenset({StepState.DONE, StepState.FAILED, StepState.SKIPPED})
"""States in which a step has its result or its error: a replay takes that, and performs nothing."""

MOVES: Mapping[StepState, frozenset[StepState]] = {
    StepState.BEGUN: frozenset({StepState.BEGUN, StepState.DONE, StepState.FAILED, StepState.UNKNOWN}),
    StepState.UNKNOWN: frozenset({StepState.BEGUN, StepState.SKIPPED}),
    StepState.DONE: frozenset(),
    StepState.FAILED: frozenset(),
    StepState.SKIPPED: frozenset(),
}
"""The moves within an execution's journal; that a person has a step forgotten is no move, but its end."""


class BeginAnswer(StrEnum):
    """What a runner does about a step that it wants to begin; scripts may rely on these words.

    GO: perform it. RECORDED: take the result or the error that is there. UNKNOWN: a person has to decide. MISMATCH: the
    same, because the step was recorded with another input. STALE: this attempt no longer counts.
    """

    GO = "go"
    RECORDED = "recorded"
    UNKNOWN = "unknown"
    MISMATCH = "mismatch"
    STALE = "stale"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step as stored, without its input and its result, which are read on request.

    `seq` counts the steps of an execution in the order in which they began, from 1. `attempts` counts how often it
    began. `epoch`, `run`, `attempt` and `runner` say which attempt began it last. `result_bytes` is how long its result
    is as JSON in UTF-8. `is_outcome`: its result is the output of the execution, whose row names run and runner.
    """

    seq: int
    key: str
    kind: StepKind
    name: str
    effect: Effect
    state: StepState
    attempts: int
    started_at: datetime
    completed_at: datetime | None = None
    error: str | None = None
    usage: TokenUsage | None = None
    epoch: int
    run: RunId
    attempt: int
    runner: str
    input_hash: str
    result_bytes: int = 0
    is_outcome: bool = False

    @property
    def is_in_the_air(self) -> bool:
        """Whether nobody may repeat it unasked once its attempt is gone."""
        return self.state is StepState.UNKNOWN or (self.state is StepState.BEGUN and self.effect is Effect.ONCE)


def find_step_in(reason: str) -> str:
    """The key of the step with which the reason of a mark begins (`step /turns/0 (...) was ...`); empty if none."""
    found = _STEP_IN_REASON.match(reason)
    return found["key"] if found else ""


def hash_of(json_text: str) -> str:
    """The hash by which two inputs, as canonical JSON text, are compared: 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(json_text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
