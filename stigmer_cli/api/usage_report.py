"""What models used over a span of time, by agent and model, on the wire."""

from datetime import datetime

from pydantic import Field

from stigmer_cli.api.wire import Moment, Sent
from stigmer_cli.domain.execution import UsageBy

ITEMS_MAX = 1_000


class UsageItem(Sent):
    """What the executions of an agent used with a model. `workflow` is there by workflow only.

    `model` is null for executions that have not asked one yet. `turns` are answers of the model, and `toolCalls` calls
    of tools, as far as they are recorded. `cost` is in US dollars, by list prices, and null
    where no price is known; `unpriced` is how many of the executions used tokens whose price is not known.
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
    workflow: str | None = Field(default=None, exclude_if=lambda workflow: workflow is None)


class UsageSum(Sent):
    """What all of them used together."""

    executions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    turns: int = 0
    tool_calls: int = 0
    cost: float | None = None
    unpriced: int = 0


class UsageAnswer(Sent):
    """Usage of executions accepted at `since` or later and before `until`; null: no bound.

    The most expensive come first. `truncated`: there are more than `ITEMS_MAX`; `total` has them all.
    """

    since: Moment | None
    until: Moment | None
    items: list[UsageItem]
    total: UsageSum
    truncated: bool = False


def usage_parameters(
    since: datetime | None, until: datetime | None, agent: str | None, by: UsageBy = UsageBy.AGENT
) -> dict[str, str | None]:
    """The parameters of the URL; a None is left out."""
    return {
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
        "agent": agent,
        "by": None if by is UsageBy.AGENT else by,
    }
