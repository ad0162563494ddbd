"""How many tokens an execution used and what they cost, in words."""

from stigmer_cli.api.usage import UsageBody

CACHED, REASONING = "cache_read_tokens", "output_reasoning_tokens"
UNKNOWN = "-"
LEAST_SHOWN = 0.0001


def has_tokens(usage: UsageBody) -> bool:
    """Whether a provider has counted any."""
    return bool(usage.input_tokens or usage.output_tokens or usage.details)


def describe_usage(usage: UsageBody) -> str:
    """`812 in (64 cached), 96 out (20 reasoning), $0.0019, openai:gpt-5`; without the cost where it is not known."""
    cached, reasoning = usage.details.get(CACHED), usage.details.get(REASONING)
    given = f"{usage.input_tokens:,} in" + (f" ({cached:,} cached)" if cached else "")
    made = f"{usage.output_tokens:,} out" + (f" ({reasoning:,} reasoning)" if reasoning else "")
    cost = "" if usage.cost is None else f"{format_cost(usage.cost)}, "
    return f"{given}, {made}, {cost}{usage.model}"


def format_cost(dollars: float | None) -> str:
    """`$12.34`; four decimals below a dollar, and `-` where it is not known."""
    if dollars is None:
        return UNKNOWN
    if 0 < dollars < LEAST_SHOWN:
        return f"<${LEAST_SHOWN}"
    return f"${dollars:,.2f}" if dollars >= 1 or not dollars else f"${dollars:.4f}"
