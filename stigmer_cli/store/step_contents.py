"""What steps took and gave, as JSON texts: read for a replay in pages, and of one step for a person."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, RowMapping, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.step import RECORDED, Step
from stigmer_cli.store.page_size import count_fitting
from stigmer_cli.store.step_rows import Part, step_of
from stigmer_cli.store.tables import executions, step_contents, steps

PAGE_BYTES_MAX = 4 * 1024 * 1024
PAGE_STEPS_MAX = 1_000
"""A page of recorded results ends before it exceeds either; a result that is longer than that is a page of its own."""

_OF = steps.c
_CONTENT = step_contents.c
_IS_RECORDED = _OF.state.in_(sorted(RECORDED))
_SIZES = (
    select(_OF.seq, _OF.result_bytes)
    .where(_OF.execution_id == bindparam("id"), _OF.seq > bindparam("after", type_=Integer), _IS_RECORDED)
    .order_by(_OF.seq)
    .limit(PAGE_STEPS_MAX + 1)
)
_WITH_RESULTS = (
    select(steps, _CONTENT.text.label("result"))
    .select_from(
        steps.outerjoin(
            step_contents,
            and_(_CONTENT.execution_id == _OF.execution_id, _CONTENT.seq == _OF.seq, _CONTENT.part == str(Part.RESULT)),
        )
    )
    .where(
        _OF.execution_id == bindparam("id"),
        _OF.seq > bindparam("after", type_=Integer),
        _OF.seq <= bindparam("last", type_=Integer),
        _IS_RECORDED,
    )
    .order_by(_OF.seq)
)
_CONTENTS = select(_CONTENT.part, _CONTENT.text).where(
    _CONTENT.execution_id == bindparam("id"), _CONTENT.seq == bindparam("seq")
)
_RESULT = _CONTENTS.where(_CONTENT.part == str(Part.RESULT))
_OUTPUT = select(executions.c.output).where(executions.c.id == bindparam("id"))


@dataclass(frozen=True, kw_only=True)
class StepContents:
    """A step with its input and its result, as JSON texts; None where nothing is kept."""

    step: Step
    input: str | None
    result: str | None


@dataclass(frozen=True, kw_only=True)
class RecordedPage:
    """Recorded steps in order of beginning, without their inputs; `next_after` is None where no other page follows."""

    items: Sequence[StepContents]
    next_after: int | None


async def read_recorded(connection: AsyncConnection, id_: ExecutionId, *, after: int) -> RecordedPage:
    """The recorded steps after number `after`, as many as one page holds."""
    sizes = (await connection.execute(_SIZES, {"id": id_, "after": after})).all()
    last = _last_of_page(sizes)
    found = await connection.execute(_WITH_RESULTS, {"id": id_, "after": after, "last": last})
    items = []
    for row in found.mappings():
        result = await _read_output(connection, id_) if row["is_outcome"] else row["result"]
        items.append(StepContents(step=step_of(row), input=None, result=result))
    return RecordedPage(items=items, next_after=last if sizes and last < sizes[-1][0] else None)


def _last_of_page(sizes: Sequence[Sequence[int]]) -> int:
    """The number of the last step of a page, of steps as numbers and bytes; 0 without steps."""
    count = count_fitting((size for _, size in sizes[:PAGE_STEPS_MAX]), PAGE_BYTES_MAX)
    return sizes[count - 1][0] if count else 0


async def read_contents(connection: AsyncConnection, row: RowMapping) -> StepContents:
    """The step of `row` with its input and its result."""
    found = await connection.execute(_CONTENTS, {"id": row["execution_id"], "seq": row["seq"]})
    texts = {row.part: row.text for row in found}
    result = await _read_output(connection, row["execution_id"]) if row["is_outcome"] else texts.get(Part.RESULT)
    return StepContents(step=step_of(row), input=texts.get(Part.INPUT), result=result)


async def read_result(connection: AsyncConnection, row: RowMapping) -> str | None:
    """The result of the step of `row`, which is recorded; None where it has none."""
    if row["is_outcome"]:
        return await _read_output(connection, row["execution_id"])
    found = await connection.execute(_RESULT, {"id": row["execution_id"], "seq": row["seq"]})
    content = found.one_or_none()
    return None if content is None else str(content.text)


async def _read_output(connection: AsyncConnection, id_: ExecutionId) -> str | None:
    output = await connection.scalar(_OUTPUT, {"id": id_})
    return None if output is None else json.dumps(output, ensure_ascii=False)
