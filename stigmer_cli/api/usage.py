"""Tokens that models used, on the wire."""

from typing import Annotated

from pydantic import Field

from stigmer_cli.api.wire import Sent
from stigmer_cli.domain.execution import TokenUsage

TOKENS_MAX = 2**53 - 1
"""The largest integer that every reader of JSON takes exactly."""

DETAILS_MAX = 32
NAME_MAX = 100
MODEL_MAX = 200

COST_MAX = 1e12

Tokens = Annotated[int, Field(ge=0, le=TOKENS_MAX)]
Cost = Annotated[float, Field(ge=0, le=COST_MAX, allow_inf_nan=False)]


class UsageBody(Sent):
    """What the model's provider counted; `details` are finer counts, by the provider's names.

    `cost` is in US dollars, by list prices; null where the price is not known.
    """

    model: str = Field(max_length=MODEL_MAX)
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    details: dict[Annotated[str, Field(max_length=NAME_MAX)], Tokens] = Field(
        default_factory=dict, max_length=DETAILS_MAX
    )
    cost: Cost | None = None

    def to_domain(self) -> TokenUsage:
        """The value that the store keeps."""
        return TokenUsage(
            model=self.model,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            details=dict(self.details),
            cost=self.cost,
        )


class UsedBody(UsageBody):
    """What an execution used, also with its steps: turns of the model, calls of tools, and the time of both."""

    turns: int = 0
    tool_calls: int = 0
    seconds: float = 0.0


def used_body(usage: TokenUsage) -> UsedBody:
    """`usage` of an execution as it goes over the wire."""
    return UsedBody(
        **usage_body(usage).model_dump(), turns=usage.turns, tool_calls=usage.tool_calls, seconds=usage.seconds
    )


def usage_body(usage: TokenUsage) -> UsageBody:
    """`usage` as it goes over the wire."""
    return UsageBody(
        model=usage.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        details=dict(usage.details),
        cost=usage.cost,
    )
