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

Tokens = Annotated[int, Field(ge=0, le=TOKENS_MAX)]


class UsageBody(Sent):
    """What the model's provider counted; `details` are finer counts, by the provider's names."""

    model: str = Field(max_length=MODEL_MAX)
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    details: dict[Annotated[str, Field(max_length=NAME_MAX)], Tokens] = Field(
        default_factory=dict, max_length=DETAILS_MAX
    )

    def to_domain(self) -> TokenUsage:
        """The value that the store keeps."""
        return TokenUsage(
            model=self.model,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            details=dict(self.details),
        )


def usage_body(usage: TokenUsage) -> UsageBody:
    """`usage` as it goes over the wire."""
    return UsageBody(
        model=usage.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        details=dict(usage.details),
    )
