"""What models used, by agent and model."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from stigmer_cli.api.usage_report import ITEMS_MAX, UsageAnswer, UsageItem, UsageSum
from stigmer_cli.domain.execution import UsageBy
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.routes.execution_filter import TimeRange, read_range
from stigmer_cli.store.usage_totals import UsageTotal

router = APIRouter(prefix="/v1")


@router.get("/usage")
async def sum_usage(
    called: Called,
    within: Annotated[TimeRange, Depends(read_range)],
    agent: Annotated[str | None, Query(description="Name or id of the agent.")] = None,
    by: Annotated[UsageBy, Query(description="`workflow`: what workflows had agents use.")] = UsageBy.AGENT,
) -> UsageAnswer:
    """Turns, calls of tools, tokens and cost of the executions that were accepted in a span of time."""
    totals = await called.store.usage.sum(
        since=within.since, until=within.until, agent=agent, is_by_workflow=by is UsageBy.WORKFLOW
    )
    return UsageAnswer(
        since=within.since,
        until=within.until,
        items=[_item(total) for total in totals[:ITEMS_MAX]],
        total=_sum_up(totals),
        truncated=len(totals) > ITEMS_MAX,
    )


def _item(total: UsageTotal) -> UsageItem:
    return UsageItem(
        agent=total.agent,
        model=total.model,
        executions=total.executions,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        turns=total.turns,
        tool_calls=total.tool_calls,
        cost=total.cost,
        unpriced=total.unpriced,
        workflow=total.workflow,
    )


def _sum_up(totals: Sequence[UsageTotal]) -> UsageSum:
    costs = [total.cost for total in totals if total.cost is not None]
    return UsageSum(
        executions=sum(total.executions for total in totals),
        input_tokens=sum(total.input_tokens for total in totals),
        output_tokens=sum(total.output_tokens for total in totals),
        turns=sum(total.turns for total in totals),
        tool_calls=sum(total.tool_calls for total in totals),
        cost=sum(costs) if costs else None,
        unpriced=sum(total.unpriced for total in totals),
    )
