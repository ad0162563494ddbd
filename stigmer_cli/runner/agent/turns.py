"""The model of the loop: each request is a step of the journal, and its text is shown as it comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import structlog
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from stigmer_cli.api.reports import Work
from stigmer_cli.api.usage import UsageBody, usage_body
from stigmer_cli.domain.step import Effect, StepKind
from stigmer_cli.runner.agent.contents import (
    calls_of,
    describe_request,
    dump_response,
    load_response,
    read_arguments,
    text_of,
    with_sound_calls,
)
from stigmer_cli.runner.agent.conversation import Conversation, key_of_turn
from stigmer_cli.runner.agent.cutting import find_shorter
from stigmer_cli.runner.agent.history import with_follow_ups
from stigmer_cli.runner.agent.output import StructuredOutput, describe_misfit
from stigmer_cli.runner.agent.played import PlayedModel
from stigmer_cli.runner.agent.told import tell
from stigmer_cli.runner.journal import Json, Performed, StepCall, StepFailed, describe_exchanges
from stigmer_cli.runner.model.hosted import HostedModel
from stigmer_cli.runner.model.library_answer import text_of_event, usage_of
from stigmer_cli.runner.model.library_chunks import repair_chunks
from stigmer_cli.runner.model.seam import TRIES_AGAIN_MAX, ContextTooLong, ModelFailed


class JournaledModel(WrapperModel):
    """Asks a model once for each turn that is not recorded, and takes the answers of the others from the journal."""

    def __init__(
        self,
        wrapped: Model,
        source: HostedModel | PlayedModel,
        conversation: Conversation,
        work: Work,
        output: StructuredOutput | None = None,
    ) -> None:
        """`source` knows what its errors mean, `output` which answers fit."""
        super().__init__(wrapped)
        self._source = source
        self._conversation = conversation
        self._work = work
        self._output = output
        self._refused = 0
        """How many answers came without a call, if the loop goes on after them: it asked for another one."""
        self._name = work.model
        self._stream: StreamedResponse | None = None

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The answer of this turn. Raises what the journal does, and ModelBusy."""
        conversation = self._conversation
        number = conversation.begin_turn()
        messages = with_follow_ups(messages, self._work)
        asked = cast("ModelRequest", messages[-1])
        step = StepCall(
            key=key_of_turn(number),
            kind=StepKind.TURN,
            name=self._name,
            effect=Effect.NONE,
            input=self._describe(asked, number),
        )
        is_new = False

        async def ask() -> Performed:
            nonlocal is_new
            is_new = True
            with conversation.budget.measured():
                return await self._ask_shorter(messages, model_settings, model_request_parameters)

        try:
            response = load_response(
                await conversation.journal.perform(step, ask, admit=conversation.budget.admit_turn)
            )
        except Exception as error:
            conversation.end = conversation.end or error
            raise
        conversation.has_progressed |= is_new
        if not is_new and (text := text_of(response)):
            conversation.begin_text()
            conversation.write(text)
        calls = calls_of(response)
        self._refused += not calls
        conversation.note_calls([(call.tool_call_id, call.tool_name, read_arguments(call)) for call in calls])
        return response

    def _describe(self, asked: ModelRequest, number: int) -> Json:
        described = dict(describe_request(asked, asked.instructions or ""))
        if self._work.conversation and number == 0:
            described["conversation"] = describe_exchanges(self._work.conversation)
        return described

    async def _ask_shorter(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> Performed:
        """The answer; while the conversation is too long for the model, the longest results of calls are cut."""
        conversation = self._conversation
        while True:
            told = tell(
                messages,
                first_turn=-len(self._work.conversation),
                edited=conversation.edited,
                chars_max=conversation.result_chars_max,
            )
            try:
                return await self._ask(told, settings, parameters)
            except StepFailed as failed:
                shorter = find_shorter(told) if isinstance(failed.__cause__, ContextTooLong) else None
                if shorter is None:
                    raise
                structlog.get_logger().info("results_cut", model=self._name, chars_max=shorter)
                conversation.result_chars_max = shorter

    async def _ask(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> Performed:
        offered = [tool for tool in parameters.function_tools if tool.name not in self._conversation.withdrawn]
        parameters = replace(parameters, function_tools=offered)
        async with self._usage_kept(), self._source.errors_as_ours():
            opening, silence = self.wrapped.request_stream(messages, settings, parameters), self._source.silence
            async with silence.until_open(opening) if silence else opening as stream:
                self._stream = stream
                repair_chunks(stream)
                await self._show(stream)
                response = with_sound_calls(stream.get())
            self._source.check_answer(response)
            self._check_last(response)
        self._conversation.is_answering = False
        usage = self._count()
        self._conversation.budget.count(usage)
        return Performed(result=dump_response(response), usage=usage)

    def _check_last(self, response: ModelResponse) -> None:
        """Fail the turn whose answer ends the execution, so that the model is asked for another one on a resume."""
        if self._refused < TRIES_AGAIN_MAX or calls_of(response):
            return
        answer = text_of(response)
        if self._output is not None and (problem := self._output.find_problem(answer)):
            raise ModelFailed(describe_misfit(problem))
        if not answer:
            raise ModelFailed(
                f"the model {self._name} has given an empty answer, and was asked for another one in vain"
            )

    async def _show(self, stream: StreamedResponse) -> None:
        conversation = self._conversation
        async for event in self._source.watch(stream):
            if text := text_of_event(event):
                if not conversation.is_answering:
                    conversation.is_answering = True
                    conversation.begin_text()
                conversation.write(text)

    @asynccontextmanager
    async def _usage_kept(self) -> AsyncIterator[None]:
        """A failure is recorded, with what the turn used; what a busy model's turn used is kept aside."""
        self._stream = None
        try:
            yield
        except ModelFailed as error:
            raise StepFailed(error.message, usage=self._count()) from error
        except BaseException:
            if self._stream is not None and (usage := usage_of(self._stream.get(), self._name)):
                self._conversation.unrecorded.append(usage)
            raise

    def _count(self) -> UsageBody | None:
        usage = usage_of(self._stream.get(), self._name) if self._stream is not None else None
        return usage_body(usage) if usage else None
