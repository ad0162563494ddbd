"""How many tokens an execution used, in words."""

from stigmer_cli.api.usage import UsageBody

CACHED, REASONING = "cache_read_tokens", "output_reasoning_tokens"


def describe_usage(usage: UsageBody) -> str:
    """`812 in (64 cached), 96 out (20 reasoning), openai:gpt-5`."""
    cached, reasoning = usage.details.get(CACHED), usage.details.get(REASONING)
    given = f"{usage.input_tokens:,} in" + (f" ({cached:,} cached)" if cached else "")
    made = f"{usage.output_tokens:,} out" + (f" ({reasoning:,} reasoning)" if reasoning else "")
    return f"{given}, {made}, {usage.model}"
