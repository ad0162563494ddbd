"""Calls that wait for a person's decision, as rows: asked by a run, decided once, and kept with the journal.

A decision is about one step and the hash of its arguments. A step that is forgotten takes its decision with it, so that
a person is asked again about what is done again.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BindParameter, RowMapping, bindparam, delete, insert, or_, select, update

from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.waiting import CallDecision, PendingCall, Verdict, WaitFor
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.database import Writing
from stigmer_cli.store.tables import decisions

_OF = decisions.c
_ITS = _OF.execution_id == bindparam("of_execution")
_STEP = _OF.step == bindparam("of_step")
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_PENDING = (
    select(decisions).where(_OF.execution_id.in_(_IDS), _OF.verdict.is_(None)).order_by(_OF.execution_id, _OF.place)
)
_ALL = select(decisions).where(_ITS).order_by(_OF.asked_at, _OF.place)
_ONE = select(decisions).where(_ITS, _STEP)
_FORGET_ONE = delete(decisions).where(_ITS, _STEP)
_FORGET_BELOW = delete(decisions).where(_ITS, or_(_STEP, _OF.step.like(bindparam("below"))))
_DECIDE = update(decisions).where(_ITS, _STEP)
_FORGET_UNDECIDED = delete(decisions).where(_ITS, _OF.verdict.is_(None))


@dataclass(frozen=True, kw_only=True)
class AskedCall:
    """A call about which a run asks. `arguments` is JSON text; None where it is too long to be shown."""

    step: str
    tool: str
    arguments_hash: str
    arguments: str | None


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What a person says about a call. `arguments` (JSON text) are performed in place of the model's."""

    verdict: Verdict
    reason: str = ""
    arguments: str | None = None


async def ask(writing: Writing, id_: ExecutionId, calls: Sequence[AskedCall]) -> Sequence[AskedCall]:
    """Write down what is asked; returns the calls that are not decided yet.

    What was asked before and never decided is forgotten. A call that was decided with these arguments stays so.
    """
    await writing.connection.execute(_FORGET_UNDECIDED, {"of_execution": id_})
    left = []
    for place, call in enumerate(calls):
        known = await find(writing, id_, call.step)
        if known is not None and known["arguments_hash"] == call.arguments_hash:
            continue
        if known is not None:
            await writing.connection.execute(_FORGET_ONE, {"of_execution": id_, "of_step": call.step})
        await writing.connection.execute(
            insert(decisions),
            {
                "execution_id": id_,
                "step": call.step,
                "place": place,
                "tool": call.tool,
                "arguments_hash": call.arguments_hash,
                "arguments": call.arguments,
                "asked_at": writing.now,
            },
        )
        left.append(call)
    return left


async def find(writing: Writing, id_: ExecutionId, step: str) -> RowMapping | None:
    """The row about a step; None if nobody was asked about it."""
    found = await writing.connection.execute(_ONE, {"of_execution": id_, "of_step": step})
    return found.mappings().one_or_none()


async def read_pending(connection: AsyncConnection, id_: ExecutionId) -> Sequence[PendingCall]:
    """The calls of an execution that wait for a decision, in the order in which the model asks for them."""
    found = await connection.execute(_PENDING, {"ids": [id_]})
    return [pending_of(row) for row in found.mappings()]


async def read_decisions(connection: AsyncConnection, id_: ExecutionId) -> Sequence[CallDecision]:
    """All that was asked about an execution, and what was decided, oldest first."""
    found = await connection.execute(_ALL, {"of_execution": id_})
    return [
        CallDecision(
            step=row["step"],
            tool=row["tool"],
            arguments_hash=row["arguments_hash"],
            verdict=Verdict(row["verdict"]) if row["verdict"] else None,
            reason=row["reason"] or "",
            arguments=row["new_arguments"],
            decided_at=row["decided_at"],
        )
        for row in found.mappings()
    ]


async def write_ruling(writing: Writing, id_: ExecutionId, step: str, ruling: Ruling) -> None:
    """Write down what a person decided about the call that is, or becomes, `step`."""
    values = {
        "verdict": ruling.verdict,
        "reason": ruling.reason or None,
        "new_arguments": ruling.arguments,
        "decided_at": writing.now,
    }
    await writing.connection.execute(_DECIDE, {"of_execution": id_, "of_step": step, **values})


async def forget_decision(writing: Writing, id_: ExecutionId, step: str) -> None:
    """Forget what was decided about a step, or about the calls of a turn."""
    await writing.connection.execute(_FORGET_BELOW, {"of_execution": id_, "of_step": step, "below": f"{step}/%"})


async def add_pending_calls(connection: AsyncConnection, found: Sequence[Execution]) -> Sequence[Execution]:
    """`found`, where those that wait for an approval have the calls that it is about."""
    ids = [one.id for one in found if one.waiting is not None and one.waiting.wait_for is WaitFor.APPROVAL]
    if not ids:
        return found
    calls: dict[ExecutionId, list[PendingCall]] = defaultdict(list)
    for row in (await connection.execute(_PENDING, {"ids": ids})).mappings():
        calls[row["execution_id"]].append(pending_of(row))
    return [
        replace(one, waiting=replace(one.waiting, calls=tuple(calls[one.id])))
        if one.waiting is not None and one.id in calls
        else one
        for one in found
    ]


def pending_of(row: RowMapping) -> PendingCall:
    """The call in `row` that waits for a decision."""
    return PendingCall(step=row["step"], tool=row["tool"], arguments=row["arguments"], since=row["asked_at"])
