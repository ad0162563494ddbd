"""The conversation before an execution, as pydantic-ai's messages."""

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart

from stigmer_cli.api.reports import Work


def history_of(work: Work) -> list[ModelMessage]:
    """What was asked and answered before, oldest first; without instructions, which the present request has."""
    messages: list[ModelMessage] = []
    for exchange in work.conversation:
        answer = ModelResponse(parts=[TextPart(content=exchange.output)], model_name=work.model)
        messages += [ModelRequest.user_text_prompt(exchange.message), answer]
    return messages
