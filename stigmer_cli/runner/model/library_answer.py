"""What the library's answers hold: text, how they ended, what they used, and what that costs."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stigmer_cli.domain.execution import TokenUsage

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse, ModelResponseStreamEvent
    from pydantic_ai.models import Model

FINER_COUNTS = (
    "cache_read_tokens",
    "cache_write_tokens",
    "output_reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)
"""Counts that the library knows by one name for all providers."""

CUT: Mapping[str, str] = {
    "length": "cut its answer at its limit of tokens",
    "content_filter": "stopped its answer: it or its content filter refuses",
    "error": "ended its answer with an error",
}
"""Ends of an answer that is not the whole one, by the library's finish reason, which is the same for all providers."""

UNKNOWN_CUTS: Mapping[str, re.Pattern[str]] = {
    "length": re.compile(r"(?i)length|max|limit|budget"),
    "content_filter": re.compile(r"(?i)filter|safety|refus|moderat|guardrail|blocked"),
    "error": re.compile(r"(?i)error|fail|abort|cancel|time_?out|interrupt|preempt|insufficient|network"),
}
"""How endpoints of their own say the same, which the library takes for no reason at all (`abort` is vLLM's)."""

ASSUMED = "stop"
"""What the library assumes where an endpoint for chat completions gave no reason."""


def text_of_event(event: "ModelResponseStreamEvent") -> str:
    """The text that `event` adds; empty if it adds something else."""
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta  # noqa: PLC0415

    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def size_of_event(event: "ModelResponseStreamEvent") -> int:
    """How many characters `event` adds: of text, of thoughts, or of the arguments of a call."""
    from pydantic_ai.messages import (  # noqa: PLC0415
        PartDeltaEvent,
        TextPartDelta,
        ThinkingPartDelta,
        ToolCallPartDelta,
    )

    match event:
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return len(text)
        case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text)):
            return len(text or "")
        case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(text))):
            return len(text)
        case _:
            return 0


def usage_of(response: "ModelResponse", model: str) -> TokenUsage | None:
    """What the provider counted so far, and what that costs; None where it has said nothing."""
    counted = response.usage
    details = {name: count for name in FINER_COUNTS if (count := getattr(counted, name))}
    if not (counted.input_tokens or counted.output_tokens or details):
        return None
    return TokenUsage(
        model=model,
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
        details=details,
        cost=_cost_of(response),
    )


def describe_cut(response: "ModelResponse") -> str:
    """Why the answer is not the whole one, as the end of a sentence; empty if it is, or gives no reason."""
    given = (response.provider_details or {}).get("finish_reason") or response.finish_reason
    words = CUT.get(response.finish_reason or _guess(str(given)), "")
    return f"{words} (finish reason {given})" if words else ""


def has_reason(response: "ModelResponse", *, is_assumed: bool) -> bool:
    """Whether the provider itself gave a reason for the end; `is_assumed`: the library assumes one if it gave none."""
    if (response.provider_details or {}).get("finish_reason"):
        return True
    return response.finish_reason is not None and not (is_assumed and response.finish_reason == ASSUMED)


def _guess(given: str) -> str:
    """What a reason means that the library does not know; empty where it is the end of a whole answer."""
    return next((reason for reason, words in UNKNOWN_CUTS.items() if words.search(given)), "")


def is_priced(model: "Model") -> bool:
    """Whether the library knows the price of `model`."""
    from pydantic_ai.messages import ModelResponse  # noqa: PLC0415 - loaded
    from pydantic_ai.usage import RequestUsage  # noqa: PLC0415

    usage = RequestUsage(input_tokens=1, output_tokens=1)
    asked = ModelResponse(
        parts=[], usage=usage, model_name=model.model_name, provider_name=model.system, provider_url=model.base_url
    )
    return _cost_of(asked) is not None


def _cost_of(response: "ModelResponse") -> float | None:
    """What `response` cost, in US dollars: as the provider says, else its list price; None where nobody knows."""
    told = (response.provider_details or {}).get("cost")
    if isinstance(told, int | float):
        return float(told)
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):  # no such model, nothing to count, no name of a model
        return None
