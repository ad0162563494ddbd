"""What is said before and in an execution beside its message, as pydantic-ai's messages."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from stigmer_cli.api.reports import Work


def history_of(work: Work) -> list[ModelMessage]:
    """What was asked and answered before, oldest first; without instructions, which the present request has."""
    messages: list[ModelMessage] = []
    for exchange in work.conversation:
        answer = ModelResponse(parts=[TextPart(content=exchange.output)], model_name=work.model)
        messages += [ModelRequest.user_text_prompt(exchange.message), answer]
    return messages


def with_follow_ups(messages: Sequence[ModelMessage], work: Work) -> list[ModelMessage]:
    """`messages` of the loop with what the person says before later turns, each behind the results of the calls there.

    It is added for each request again: what the loop itself keeps holds the first message only.
    """
    said = {one.turn: one.message for one in work.follow_ups}
    turn = -len(work.conversation)
    added: list[ModelMessage] = []
    for message in messages:
        if isinstance(message, ModelRequest) and turn in said:
            message = replace(message, parts=[*message.parts, UserPromptPart(content=said[turn])])  # noqa: PLW2901
        turn += isinstance(message, ModelResponse)
        added.append(message)
    return added
