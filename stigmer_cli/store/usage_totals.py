"""What models used, summed by agent and model, or by workflow as well, over executions accepted in a span of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
)

from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.database import Database, whole
from stigmer_cli.store.listing import find_agent_id
from stigmer_cli.store.listing_source import EVERYTHING
from stigmer_cli.store.tables import executions, workflows

_ROW = executions.c


@dataclass(frozen=True, kw_only=True)
class UsageTotal:
    """What `executions` executions of `agent` used with `model`; `workflow` (NAMESPACE/NAME) had them run.

    `model` is None for executions of which nobody counted the tokens. `cost`, in US dollars, is the sum of the known
    costs, None where none is known; `unpriced` is how many executions used tokens whose price is not known.
    """

    agent: str
    model: str | None
    executions: int
    input_tokens: int
    output_tokens: int
    turns: int
    tool_calls: int
    cost: float | None
    unpriced: int
    workflow: str | None = None


class UsageTable:
    """Sums over the column `usage` of the executions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def sum(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        agent: str | None = None,
        is_by_workflow: bool = False,
    ) -> Sequence[UsageTotal]:
        """A total for each agent and model among the executions accepted at `since` or later and before `until`.

        `is_by_workflow`: for each workflow, agent and model, among those that a workflow waited for, itself or through
        workflows that it waited for.

        The work grows with the executions in that span, or with those of `agent` (name or id), not with all others.
        The most expensive come first, then those with the most tokens. Raises NotFound for an unknown agent.
        """
        async with self._database.reading() as connection:
            conditions = EVERYTHING.accepted_between(since, until)
            agent_id = await find_agent_id(connection, agent)
            if agent_id is not None:
                # With the phases the index by agent, phase and time answers both conditions.
                conditions += [_ROW.agent_id == agent_id, _ROW.phase.in_(tuple(Phase))]
            select_totals = _totals_by_workflow if is_by_workflow else _totals
            found = await connection.execute(select_totals(connection, conditions))
            totals = [_total_of(row) for row in found]
        return sorted(totals, key=_by_expense)


def _totals(connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    model, columns = _list_columns(connection)
    by = (_ROW.agent_name, model)
    return select(null().label("workflow"), *by, *columns).where(*conditions).group_by(*by)


def _totals_by_workflow(connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Each execution of an agent counts for the workflow above which there is none.

    Of an execution whose parent was deleted nobody knows what is above it: it counts for the last one that is there.
    """
    begun = select(_ROW.id, _ROW.id.label("top"), _ROW.parent.label("above")).where(
        *conditions, _ROW.kind == Kind.AGENT, _ROW.parent.is_not(None)
    )
    chain = begun.cte("chain", recursive=True)
    higher = executions.alias("higher")
    chain = chain.union_all(
        select(chain.c.id, higher.c.id, higher.c.parent).join_from(chain, higher, higher.c.id == chain.c.above)
    )
    top, next_one = executions.alias("top"), executions.alias("next_one")
    is_last = or_(chain.c.above.is_(None), ~select(next_one.c.id).where(next_one.c.id == chain.c.above).exists())
    model, columns = _list_columns(connection)
    full_name = workflows.c.namespace + literal_column("'/'") + workflows.c.name
    workflow = func.coalesce(full_name, top.c.agent_name).label("workflow")
    by = (workflow, _ROW.agent_name, model)
    return (
        select(*by, *columns)
        .select_from(chain)
        .join(executions, _ROW.id == chain.c.id)
        .join(top, top.c.id == chain.c.top)
        .outerjoin(workflows, workflows.c.id == top.c.agent_id)
        .where(is_last, top.c.kind == Kind.WORKFLOW)
        .group_by(*by)
    )


def _list_columns(connection: AsyncConnection) -> tuple[ColumnElement[str], Sequence[ColumnElement[Any]]]:
    """The model of an execution, and the sums over executions."""
    is_sqlite = connection.dialect.name == "sqlite"

    def read(name: str) -> ColumnElement[Any]:
        if is_sqlite:
            return func.json_extract(_ROW.usage, f"$.{name}")
        return cast(_ROW.usage, JSON).op("->>")(name)

    model = cast(read("model"), Text).label("model")
    cost = cast(read("cost"), Double)
    return model, (
        func.count().label("executions"),
        func.sum(cast(read("input"), BigInteger)).label("input_tokens"),
        func.sum(cast(read("output"), BigInteger)).label("output_tokens"),
        func.sum(cast(read("turns"), BigInteger)).label("turns"),
        func.sum(cast(read("calls"), BigInteger)).label("tool_calls"),
        func.sum(cost).label("cost"),
        func.sum(case((_ROW.usage.is_not(None) & cost.is_(None), literal(1, Integer)), else_=0)).label("unpriced"),
    )


def _total_of(row: Any) -> UsageTotal:  # noqa: ANN401 - a row of a query that names its columns itself
    return UsageTotal(
        agent=row.agent_name,
        model=row.model,
        executions=row.executions,
        input_tokens=int(row.input_tokens or 0),
        output_tokens=int(row.output_tokens or 0),
        turns=int(row.turns or 0),
        tool_calls=int(row.tool_calls or 0),
        cost=None if row.cost is None else float(row.cost),
        unpriced=int(row.unpriced),
        workflow=row.workflow,
    )


def _by_expense(total: UsageTotal) -> tuple[float, int, str, str]:
    return (-(total.cost or 0.0), -(total.input_tokens + total.output_tokens), total.agent, total.model or "")
