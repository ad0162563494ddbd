"""Steps as rows: what a runner says about one, and the statements that read and write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache, reduce
from operator import add
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, func, insert, select, update
from sqlalchemy.sql.dml import ReturningInsert

from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.model_name import UNHOSTED
from stigmer_cli.domain.step import Effect, Step, StepKind, StepState
from stigmer_cli.errors import NotFound
from stigmer_cli.store.database import Writing
from stigmer_cli.store.tables import step_contents, steps
from stigmer_cli.store.usage import map_usage, usage_of

_OF = steps.c
_IT = (_OF.execution_id == bindparam("of_execution"), _OF.key == bindparam("of_key"))
_NUMBERED = (_OF.execution_id == bindparam("of_execution"), _OF.seq == bindparam("of_seq"))
_BY_KEY = select(steps).where(*_IT)
_NEXT = select(func.coalesce(func.max(_OF.seq), 0) + 1).where(_OF.execution_id == bindparam("of_execution"))
_JOURNAL = select(steps).where(_OF.execution_id == bindparam("of_execution")).order_by(_OF.seq)
_FORGET_CONTENTS = delete(step_contents).where(
    step_contents.c.execution_id == bindparam("of_execution"), step_contents.c.seq == bindparam("of_seq")
)
_FORGET_RESULT = _FORGET_CONTENTS.where(step_contents.c.part == bindparam("of_part"))
_FORGET = (_FORGET_CONTENTS, delete(steps).where(*_NUMBERED))
_ADD_CONTENT = insert(step_contents)


class Part(StrEnum):
    """Which content of a step a text is."""

    INPUT = "input"
    RESULT = "result"


@dataclass(frozen=True, kw_only=True)
class StepDraft:
    """A step that an attempt wants to begin. `nonce` names this call: a call that is sent twice has one nonce.

    `input` is JSON text; None where it is too long to be kept.
    """

    key: str
    kind: StepKind
    name: str
    effect: Effect
    nonce: str
    input_hash: str
    input: str | None = None


@dataclass(frozen=True, kw_only=True)
class StepEnd:
    """How a step ended: DONE with a `result` (JSON text), or FAILED with an `error` (a sentence).

    `took_s` is how long it took by the runner's clock. `is_outcome`: its result is the output of the execution, which
    ends with it, and is not given here.
    """

    state: StepState
    result: str | None = None
    error: str | None = None
    usage: TokenUsage | None = None
    took_s: float = 0.0
    is_outcome: bool = False


@dataclass(frozen=True, kw_only=True)
class EndedStep:
    """A step that is recorded as a whole, after it has ended."""

    draft: StepDraft
    end: StepEnd


def count_step(kind: StepKind, name: str, end: StepEnd) -> TokenUsage:
    """What the execution has used more with a step that ended so."""
    match kind:
        case StepKind.TURN:
            # What asks nobody costs nothing, nor does a refusal; of an answer that was not counted, nobody knows.
            is_free = name.startswith(UNHOSTED) or end.state is StepState.FAILED
            used = end.usage or TokenUsage(model=name, cost=0.0 if is_free else None)
            return replace(used, turns=1, seconds=end.took_s)
        case _:
            used = end.usage or TokenUsage(model="", cost=0.0)
            return replace(used, tool_calls=int(kind is StepKind.TOOL), seconds=end.took_s)


def add_turns(usage: TokenUsage | None, steps: Sequence[EndedStep]) -> TokenUsage | None:
    """What an attempt used, with the turns that travel with its outcome; None where it asked no model."""
    turns = [
        count_step(step.draft.kind, step.draft.name, step.end) for step in steps if step.draft.kind is StepKind.TURN
    ]
    if usage is None:  # nobody counted tokens, as with the echo
        return reduce(add, turns) if turns else None
    return replace(usage, turns=len(turns), seconds=sum(turn.seconds for turn in turns))


async def find_by_key(writing: Writing, id_: ExecutionId, key: str) -> RowMapping | None:
    """The row of a step; None if there is none."""
    found = await writing.connection.execute(_BY_KEY, {"of_execution": id_, "of_key": key})
    return found.mappings().one_or_none()


async def read_journal(writing: Writing, id_: ExecutionId) -> Sequence[Step]:
    """All steps of an execution, in order of beginning."""
    found = await writing.connection.execute(_JOURNAL, {"of_execution": id_})
    return [step_of(row) for row in found.mappings()]


def find_step(id_: ExecutionId, journal: Sequence[Step], key: str) -> Step:
    """The step of `journal` with that key; raises NotFound."""
    found = next((step for step in journal if step.key == key), None)
    if found is None:
        raise no_such_step(id_, key)
    return found


def no_such_step(id_: ExecutionId, reference: int | str) -> NotFound:
    """The error of who names a step that is not there, by number or key."""
    return NotFound(f"{id_} has no step {reference}", hint=f"stigmer executions get {id_}")


async def write_begun(
    writing: Writing, execution: RowMapping, attempt: int, draft: StepDraft, *, before: RowMapping | None
) -> None:
    """Have the step begin, for the first time or, where `before` is its row, once more."""
    values = {**_values(execution, attempt, draft), **_BEGUN, "started_at": writing.now}
    seq = await _write(writing, execution["id"], values, before=before)
    await _add_content(writing, execution["id"], seq, Part.INPUT, draft.input)


async def write_end(writing: Writing, row: RowMapping, end: StepEnd) -> None:
    """Record how the step of `row`, which has begun, ended."""
    await _update(writing, row["execution_id"], row["seq"], _end_values(end, writing.now))
    await _add_content(writing, row["execution_id"], row["seq"], Part.RESULT, end.result)


async def write_ended(writing: Writing, execution: RowMapping, attempt: int, step: EndedStep) -> None:
    """Record a step as a whole: this attempt performed it, whatever is recorded of earlier ones."""
    began_at = writing.now - timedelta(seconds=step.end.took_s)
    values = {
        **_values(execution, attempt, step.draft),
        **_end_values(step.end, writing.now),
        "started_at": began_at,
        "attempts": 1,
        **(_SAID_BY_OUTCOME if step.end.is_outcome else {}),
    }
    added = await writing.connection.execute(
        _insert_or_skip(writing.backend.insert_or_skip(steps, None)),
        {"execution_id": execution["id"], "of_execution": execution["id"], **values},
    )
    key = added.one_or_none()
    if key is not None:
        seq = int(key.seq)
    else:
        before = await find_by_key(writing, execution["id"], step.draft.key)
        seq = await _write(writing, execution["id"], values, before=before)
    await _add_content(writing, execution["id"], seq, Part.INPUT, step.draft.input)
    await _add_content(writing, execution["id"], seq, Part.RESULT, step.end.result)


async def mark_unknown(writing: Writing, row: RowMapping) -> None:
    """Nobody may repeat the step of `row` unasked any more."""
    await _update(writing, row["execution_id"], row["seq"], {"state": StepState.UNKNOWN})


async def write_skipped(writing: Writing, id_: ExecutionId, seq: int, result: str) -> None:
    """Record `result` (JSON text) as what the step returned, whatever it did."""
    values = {
        "state": StepState.SKIPPED,
        "completed_at": writing.now,
        "error": None,
        "result_bytes": len(result.encode()),
        "is_outcome": False,
    }
    await _update(writing, id_, seq, values)
    await writing.connection.execute(_FORGET_RESULT, {"of_execution": id_, "of_seq": seq, "of_part": Part.RESULT})
    await _add_content(writing, id_, seq, Part.RESULT, result)


async def forget(writing: Writing, id_: ExecutionId, seq: int) -> None:
    """Delete the step with that number, as if it had never begun."""
    for statement in _FORGET:
        await writing.connection.execute(statement, {"of_execution": id_, "of_seq": seq})


def step_of(row: RowMapping) -> Step:
    """The step in `row`."""
    return Step(
        seq=row["seq"],
        key=row["key"],
        kind=StepKind(row["kind"]),
        name=row["name"],
        effect=Effect(row["effect"]),
        state=StepState(row["state"]),
        attempts=row["attempts"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        error=row["error"],
        usage=usage_of(row["usage"]),
        epoch=row["epoch"],
        run=row["run"],
        attempt=row["attempt"],
        runner=row["runner"],
        input_hash=row["input_hash"],
        result_bytes=row["result_bytes"],
        is_outcome=row["is_outcome"],
    )


_BEGUN: Mapping[str, object] = {
    "state": StepState.BEGUN,
    "completed_at": None,
    "error": None,
    "usage": None,
    "result_bytes": 0,
    "is_outcome": False,
}


# The execution names its last run and runner itself, and a step that ends it is never begun or ended again.
_SAID_BY_OUTCOME: Mapping[str, object] = {"run": "", "runner": "", "nonce": ""}


def _values(execution: RowMapping, attempt: int, draft: StepDraft) -> dict[str, object]:
    return {
        "key": draft.key,
        "kind": draft.kind,
        "name": draft.name,
        "effect": draft.effect,
        "nonce": draft.nonce,
        "input_hash": draft.input_hash,
        "epoch": execution["epoch"],
        "run": execution["claimed_run"],
        "attempt": attempt,
        "runner": execution["claimed_by"] or "",
    }


def _end_values(end: StepEnd, now: datetime) -> dict[str, object]:
    return {
        "state": end.state,
        "completed_at": now,
        "error": end.error,
        "usage": map_usage(end.usage) if end.usage else None,
        "result_bytes": len(end.result.encode()) if end.result is not None else 0,
        "is_outcome": end.is_outcome,
    }


async def _write(writing: Writing, id_: ExecutionId, values: Mapping[str, object], *, before: RowMapping | None) -> int:
    """Write a row, or write over the row `before`, which has one attempt more then; returns its number."""
    if before is None:
        added = await writing.connection.execute(
            _INSERT, {"execution_id": id_, "of_execution": id_, **values, "attempts": 1}
        )
        return int(added.scalar_one())
    seq = int(before["seq"])
    await writing.connection.execute(_FORGET_CONTENTS, {"of_execution": id_, "of_seq": seq})
    await _update(writing, id_, seq, {**values, "attempts": before["attempts"] + 1})
    return seq


async def _update(writing: Writing, id_: ExecutionId, seq: int, values: Mapping[str, object]) -> None:
    await writing.connection.execute(update(steps).where(*_NUMBERED), {"of_execution": id_, "of_seq": seq, **values})


async def _add_content(writing: Writing, id_: ExecutionId, seq: int, part: Part, text: str | None) -> None:
    if text is not None:
        await writing.connection.execute(_ADD_CONTENT, {"execution_id": id_, "seq": seq, "part": part, "text": text})


@lru_cache
def _insert_or_skip(statement: ReturningInsert[Any]) -> ReturningInsert[Any]:
    return statement.values(seq=_NEXT.scalar_subquery())


_INSERT = insert(steps).values(seq=_NEXT.scalar_subquery()).returning(_OF.seq)
