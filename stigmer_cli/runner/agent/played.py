"""Models that ask nobody, as pydantic-ai sees them: the script, and the echo."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RequestUsage

from stigmer_cli.api.reports import Work
from stigmer_cli.runner.agent.contents import name_for_models
from stigmer_cli.runner.model.echo import Echo
from stigmer_cli.runner.model.script import ScriptedModel
from stigmer_cli.runner.model.script_file import ScriptTurn

Play = Callable[[Sequence[ModelMessage]], Awaitable[ModelResponse]]


class PlayedModel(Model):
    """A model whose answers a function gives, as a whole."""

    def __init__(self, play: Play, *, name: str) -> None:
        super().__init__()
        self._play = play
        self._name = name

    @property
    def model_name(self) -> str:
        """What the agent calls it."""
        return self._name

    @property
    def system(self) -> str:
        """Its provider: nobody."""
        return "stigmer"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,  # noqa: ARG002 - pydantic-ai's signature
        model_request_parameters: ModelRequestParameters,  # noqa: ARG002
    ) -> ModelResponse:
        """The next answer. Raises ModelFailed."""
        return await self._play(messages)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[object] | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[StreamedResponse]:
        """The next answer, in one piece."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(response, model_request_parameters=model_request_parameters, replay_events=True)

    def watch(self, stream: StreamedResponse) -> AsyncIterator[ModelResponseStreamEvent]:
        """What comes of an answer."""
        return aiter(stream)

    @property
    def silence(self) -> None:
        """A script may take as long as it says."""

    @asynccontextmanager
    async def errors_as_ours(self) -> AsyncIterator[None]:
        """Its errors are ours already."""
        yield

    def check_answer(self, response: ModelResponse) -> None:
        """Its answers are always whole."""


def play_script(script: ScriptedModel, *, name: str, skipped: int = 0) -> PlayedModel:
    """The model that plays `script`: which turn is next follows from the answers in the conversation.

    `skipped`: so many turns were played before, and are not in it: the calls of tools of executions before this one.
    """

    async def play(messages: Sequence[ModelMessage]) -> ModelResponse:
        number = skipped + sum(isinstance(message, ModelResponse) for message in messages)
        turn = await script.play(number)
        usage = turn.usage
        return ModelResponse(
            parts=list(_parts_of(turn, number)),
            model_name=name,
            usage=RequestUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
            if usage
            else RequestUsage(),
            provider_details={"cost": usage.cost} if usage and usage.cost is not None else None,
        )

    return PlayedModel(play, name=name)


def _parts_of(turn: ScriptTurn, number: int) -> Sequence[ModelResponsePart]:
    calls = [
        ToolCallPart(
            tool_name=name_for_models(call.tool),
            args=json.dumps(dict(call.arguments)),
            tool_call_id=f"call-{number}-{place}",
        )
        for place, call in enumerate(turn.calls)
    ]
    return [*([TextPart(content=turn.text)] if turn.text is not None else []), *calls]


def play_echo(echo: Echo, work: Work, *, name: str) -> PlayedModel:
    """The model that says back what the person said, and calls no tool."""

    async def play(messages: Sequence[ModelMessage]) -> ModelResponse:
        said = [
            str(part.content)
            for message in messages
            if isinstance(message, ModelRequest)
            for part in message.parts
            if isinstance(part, UserPromptPart)
        ]
        asked = work.model_copy(update={"message": said[-1] if said else work.message})
        text = "".join([piece async for piece in echo.stream(asked)])
        return ModelResponse(parts=[TextPart(content=text)], model_name=name)

    return PlayedModel(play, name=name)
