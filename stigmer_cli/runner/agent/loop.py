"""Runs the loop of one attempt: the model and the tools take turns until the model has answered.

pydantic-ai runs it. What is recorded is not performed again, so that an attempt goes on where the one before it ended.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
from pydantic_ai import Agent
from pydantic_ai.agent.abstract import AgentRetries
from pydantic_ai.exceptions import AgentRunError, UnexpectedModelBehavior, UserError
from pydantic_ai.usage import UsageLimits

from stigmer_cli.api.agent_tools import LoopSpec, ToolServerBody
from stigmer_cli.api.reports import Work
from stigmer_cli.clock import Clock
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.runner.agent.broken import LoopBroken
from stigmer_cli.runner.agent.budget import Budget
from stigmer_cli.runner.agent.calls import TRIES_MAX as TOOL_TRIES_MAX
from stigmer_cli.runner.agent.calls import JournaledTools, ToolOffer
from stigmer_cli.runner.agent.conversation import Conversation, StepJournal
from stigmer_cli.runner.agent.history import history_of
from stigmer_cli.runner.agent.output import StructuredOutput, describe_misfit
from stigmer_cli.runner.agent.played import PlayedModel, play_echo, play_script
from stigmer_cli.runner.agent.turns import JournaledModel
from stigmer_cli.runner.journal import StepFailed
from stigmer_cli.runner.model.echo import Echo
from stigmer_cli.runner.model.hosted import HostedModel
from stigmer_cli.runner.model.library import settings_for
from stigmer_cli.runner.model.script import ScriptedModel, count_turns
from stigmer_cli.runner.model.seam import TRIES_AGAIN_MAX, Model, ModelBusy, ModelFailed
from stigmer_cli.runner.secrets import SecretMissing
from stigmer_cli.tool_server.connection import ServerSettings, ToolServer
from stigmer_cli.tool_server.result import ToolServerAway

ADVICE = " Consider "
"""What the library goes on with is for who writes Python."""

LINES_MAX = 500
"""How many lines of what its servers write to standard error an attempt logs."""

LINE_CHARS_MAX = 2_000


@dataclass(frozen=True, kw_only=True)
class AgentLoop:
    """What loops need beside their work: the settings of tool servers, time, and who puts secrets into a text."""

    settings: ServerSettings
    clock: Clock
    resolve: Callable[[str], Awaitable[str]] | None = None

    async def run(
        self, work: Work, model: Model, journal: StepJournal, write: Callable[[str], object], *, execution: str
    ) -> str:
        """The model's last answer; `write` takes all that it says, as it comes.

        Raises ModelFailed with a sentence where the execution is to fail, LoopBroken where another attempt is to go on,
        Waits where a person has to approve a call, Exhausted where a limit is reached, and what the journal raises.
        """
        budget = Budget(work.spec.limits if work.spec else None, work.used, clock=self.clock)
        conversation = Conversation(journal, write, budget)
        try:
            return await self._run(work, model, conversation, execution)
        except Exception as error:  # noqa: BLE001 - raised again, as what the attempt knows
            reason = conversation.end or error
            raise _explain(reason, conversation) from (error if reason is not error else error.__cause__)

    async def _run(self, work: Work, model: Model, conversation: Conversation, execution: str) -> str:
        spec = work.spec or LoopSpec()
        hear = _make_log(execution)
        async with AsyncExitStack() as stack:
            bodies = [await self._with_secrets(body) for body in spec.tools]
            servers = [
                await stack.enter_async_context(
                    ToolServer(body, self.settings, hear, clock=self.clock, notes_changes=True)
                )
                for body in bodies
            ]
            source = await _open_model(model, work)
            wrapped = source if isinstance(source, PlayedModel) else await source.library_model()
            if conversation.budget.is_in_money and isinstance(source, HostedModel):
                source.check_price(wrapped)
            offer = ToolOffer(servers, wrapped)
            await offer.read()  # no model is asked while a server is away
            output = StructuredOutput(spec.output) if spec.output is not None else None
            instructions = [work.instructions, output.instructions if output else ""]
            agent = Agent(
                JournaledModel(wrapped, source, conversation, work, output),
                instructions="\n\n".join(filter(None, instructions)) or None,
                toolsets=[JournaledTools(offer, conversation, execution=execution, generations=work.call_generations)],
                retries=AgentRetries(tools=TOOL_TRIES_MAX, output=TRIES_AGAIN_MAX),
                output_type=str,
                model_settings=settings_for(wrapped),
            )
            if output is not None:
                agent.output_validator(output.check)
            try:
                result = await agent.run(
                    work.message, message_history=history_of(work), usage_limits=UsageLimits(request_limit=None)
                )
            except UnexpectedModelBehavior as error:
                if conversation.end is None and output is not None and output.problem:
                    raise ModelFailed(describe_misfit(output.problem)) from error
                raise
            return result.output

    async def _with_secrets(self, body: ToolServerBody) -> ToolServerBody:
        """`body` with the values of the secrets that its variables and headers refer to; raises ModelFailed."""
        if self.resolve is None:
            return body
        mcp = body.mcp
        try:
            filled = {
                "env": {name: await self.resolve(value) for name, value in mcp.env.items()},
                "headers": {name: await self.resolve(value) for name, value in mcp.headers.items()},
            }
        except SecretMissing as error:
            raise ModelFailed(f"its tool server {mcp.label} needs a secret: {error.message}") from error
        return body.model_copy(update={"mcp": mcp.model_copy(update=filled)})


def _explain(reason: Exception, conversation: Conversation) -> Exception:
    """What has ended the loop, as the attempt knows it."""
    match reason:
        case StepFailed():
            return ModelFailed(reason.message)
        case ModelBusy():
            return LoopBroken(
                reason,
                broke_off=conversation.is_answering,
                has_progressed=conversation.has_progressed,
                unrecorded=conversation.unrecorded,
            )
        case ToolServerAway():
            return LoopBroken(
                ModelBusy(reason.message),
                broke_off=False,
                has_progressed=conversation.has_progressed,
                wait_for=WaitFor.TOOL_SERVER,
            )
        case AgentRunError() | UserError():
            told, _, _advice = str(reason).partition(ADVICE)
            return ModelFailed(f"the loop of model and tools ended: {told}")
        case _:
            return reason


async def _open_model(model: Model, work: Work) -> PlayedModel | HostedModel:
    match model:
        case ScriptedModel():
            return play_script(model, name=work.model, skipped=count_turns(work) - len(work.conversation))
        case Echo():
            return play_echo(model, work, name=work.model)
        case HostedModel():
            return model
        case _:
            raise ModelFailed(f"the model {work.model} cannot use tools")


def _make_log(execution: str) -> Callable[[str], None]:
    """Takes what the tool servers of an execution write to standard error, up to LINES_MAX lines."""
    log = structlog.get_logger().bind(execution=execution)
    count = 0

    def hear(line: str) -> None:
        nonlocal count
        count += 1
        if count <= LINES_MAX:
            log.info("tool_server_wrote", text=line[:LINE_CHARS_MAX])
        elif count == LINES_MAX + 1:
            log.warning("tool_server_writes_too_much", lines_max=LINES_MAX)

    return hear
