"""The tools of the loop: each call is a step of the journal."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import structlog
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets.abstract import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.domain.idempotency import FIRST, CallGenerations, idempotency_key
from stigmer_cli.domain.step import Effect, StepKind
from stigmer_cli.runner.agent.approvals import Approvals, describe_denial, is_denied
from stigmer_cli.runner.agent.contents import (
    calls_of,
    describe_failure,
    is_error,
    load_response,
    name_for_models,
    read_answer,
    read_arguments,
)
from stigmer_cli.runner.agent.conversation import Conversation, key_of_call, key_of_turn
from stigmer_cli.runner.journal import Json, StepCall, StepFailed, canonical_json
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.tool_server.connection import ToolServer
from stigmer_cli.tool_server.result import Tool, ToolServerAway

TRIES_MAX = 3
"""How often in a row a model may ask for a tool that is not there, or with arguments that are no JSON."""

AN_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema(), strict=True))
"""What the arguments of every call are: the model is told so where they are another JSON."""

REFUSALS_MAX = 3
"""How many calls in a row a server may refuse, and the model is told of it; before the next one the attempt ends."""


@dataclass(frozen=True, kw_only=True)
class OfferedTool:
    """A tool, and the server that has it."""

    tool: Tool
    server: ToolServer


class ToolOffer:
    """The tools of an agent's servers, listed again once one of these says that its list has changed."""

    def __init__(self, servers: Sequence[ToolServer], model: Model) -> None:
        self._servers = servers
        self._model = model
        self._tools: Mapping[str, OfferedTool] | None = None
        self._changes = 0

    async def read(self) -> Mapping[str, OfferedTool]:
        """Those that `model` can be told of, by what models call them; the same object until something has changed.

        Raises ToolServerAway, and ModelFailed where two would have the same name.
        """
        changes = sum(server.list_changes for server in self._servers)
        if self._tools is None or changes != self._changes:
            listed = [(server, await server.list_tools()) for server in self._servers]
            try:
                self._tools = leave_out_undescribed(offer_tools(listed), self._model)
            except ValueError as error:
                raise ModelFailed(str(error)) from error
            self._changes = changes
        return self._tools


class JournaledTools(AbstractToolset[None]):
    """Calls a tool once for each call that is not recorded, and takes the results of the others from the journal."""

    def __init__(
        self,
        offer: ToolOffer,
        conversation: Conversation,
        *,
        execution: str,
        generations: CallGenerations = FIRST,
    ) -> None:
        """`generations`: which of its calls a person had made anew."""
        self._offer = offer
        self._tools: Mapping[str, OfferedTool] = {}
        self._conversation = conversation
        self._approvals = Approvals({}, conversation)
        self._execution = execution
        self._generations = generations
        self._refusals: dict[ToolServer, int] = {}
        """How many calls of the effect `once` each server has refused in a row."""

    @property
    def id(self) -> str | None:
        """Nothing that pydantic-ai would need."""
        return None

    async def get_tools(self, ctx: RunContext[None]) -> dict[str, ToolsetTool[None]]:  # noqa: ARG002 - its signature
        """All of them. A tool whose effect is `once` is called alone, in the order of the model.

        A tool that its server or its agent has no more stands among them as long as calls of it are recorded, because
        pydantic-ai would answer these itself otherwise, and not with what they returned. One that was not there when a
        recorded turn called it is not there for that turn: nothing is performed that late. Raises what the offer does.
        """
        conversation = self._conversation
        try:
            await self._read_offer()
        except Exception as error:
            conversation.end = conversation.end or error
            raise
        recorded = await conversation.journal.list_recorded_tools()
        conversation.withdrawn = {name_for_models(name) for name in recorded} - self._tools.keys()
        there = {name: offered.tool for name, offered in self._tools.items()}
        gone = {name: _withdraw(name) for name in conversation.withdrawn}
        unknown = await _find_unknown(conversation)
        return {name: self._define(tool, name) for name, tool in (there | gone).items() if name not in unknown}

    async def _read_offer(self) -> None:
        tools = await self._offer.read()
        if tools is not self._tools:
            self._tools = tools
            self._approvals = Approvals({name: offered.tool for name, offered in tools.items()}, self._conversation)

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[None],
        tool: ToolsetTool[None],  # noqa: ARG002 - its signature
    ) -> object:
        """What the model is told of the call. Raises ToolFailed for what the model is to know of a failure.

        Raises what the journal does, ToolServerAway, and Waits where a person has to approve a call of this turn.
        """
        conversation = self._conversation
        try:
            recorded = await self._perform(conversation.place_call(ctx.tool_call_id or ""), name, tool_args)
        except StepFailed as error:
            raise ToolFailed(error.message) from error
        except Exception as error:
            conversation.end = conversation.end or error
            raise
        answer = read_answer(recorded)
        if is_error(recorded):
            raise ToolFailed(answer if isinstance(answer, str) else describe_failure(answer))
        return answer

    async def _perform(self, key: str, name: str, arguments: Mapping[str, Json]) -> Json:
        offered = self._tools.get(name)
        tool, server = (offered.tool, offered.server) if offered else (_withdraw(name), None)
        _check_arguments(name, arguments)
        ruling = await self._approvals.find_ruling(key, arguments)
        if ruling is not None and ruling.arguments is not None:
            arguments = json.loads(ruling.arguments)
            _check_arguments(name, arguments)
            self._conversation.edited[key] = ruling.arguments
        step = StepCall(
            key=key,
            kind=StepKind.TOOL,
            name=tool.name,
            effect=tool.effect,
            input={"tool": tool.name, "arguments": arguments},
        )
        if ruling is not None and is_denied(ruling):
            return await self._deny(step, ruling)

        is_new = False

        async def call() -> Json:
            nonlocal is_new
            is_new = True
            if server is None:
                raise StepFailed(f"there is no tool {name} any more")
            with self._conversation.budget.measured():
                return await self._call(server, tool, arguments, key)

        if tool.effect is Effect.ONCE and server is not None:
            await self._ensure_alive(server)
        recorded = await self._conversation.journal.perform(step, call, admit=self._conversation.budget.admit_call)
        self._conversation.has_progressed |= is_new
        return recorded

    async def _ensure_alive(self, server: ToolServer) -> None:
        """Look at the server before a step begins whose call nobody may repeat; raises ToolServerAway."""
        if self._refusals.get(server, 0) >= REFUSALS_MAX:
            raise ToolServerAway(f"its {server.label} has refused {REFUSALS_MAX} calls in a row, and did none of them")
        await server.ensure_alive()

    async def _call(self, server: ToolServer, tool: Tool, arguments: Mapping[str, Json], key: str) -> Json:
        """What the call returns. A call of the effect `once` that was not taken fails: else its step were unknown."""
        try:
            known_by = idempotency_key(self._execution, key, self._generations)
            answer = await server.call(tool, arguments, key=known_by)
        except ToolServerAway as away:
            if tool.effect is not Effect.ONCE or away.was_sent:
                raise
            self._refusals[server] = self._refusals.get(server, 0) + 1
            raise StepFailed(f"{away.message}; the call was not performed") from away
        self._refusals.pop(server, None)
        return answer.wire

    async def _deny(self, step: StepCall, ruling: DecisionBody) -> Json:
        """Record that the call was denied: it had no effect, and the model is told why. Raises StepFailed."""

        async def deny() -> Json:
            raise StepFailed(describe_denial(ruling))

        return await self._conversation.journal.perform(replace(step, effect=Effect.NONE), deny)

    def _define(self, tool: Tool, name: str) -> ToolsetTool[None]:
        return ToolsetTool(
            toolset=self, tool_def=_describe(tool, name), max_retries=TRIES_MAX, args_validator=AN_OBJECT
        )


async def _find_unknown(conversation: Conversation) -> Collection[str]:
    """What the next turn calls, and was told that it is no tool, if that is recorded with the turn after it."""
    turn, journal = conversation.next_turn, conversation.journal
    if not await journal.is_recorded(key_of_turn(turn + 1)):
        return ()
    recorded = await journal.find(key_of_turn(turn))
    if recorded is None:
        return ()
    called, answered = set[str](), set[str]()
    for place, call in enumerate(calls_of(load_response(recorded))):
        if read_arguments(call) is not None:  # else it was told that they are no JSON, and nothing is recorded
            called.add(call.tool_name)
        if await journal.is_recorded(key_of_call(turn, place)):
            answered.add(call.tool_name)
    return called - answered


def _describe(tool: Tool, name: str) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description=tool.description,
        parameters_json_schema=cast("dict[str, Any]", tool.schema),
        sequential=tool.effect is Effect.ONCE,
    )


def _check_arguments(name: str, arguments: Mapping[str, Json]) -> None:
    """Raise StepFailed where the call cannot be recorded; its sentence is the same on each replay, with any Python."""
    try:
        canonical_json(arguments)
    except (ValueError, TypeError):
        raise StepFailed(f"the arguments of {name} are not valid JSON: NaN and Infinity are not allowed") from None


def _withdraw(name: str) -> Tool:
    """A tool that is not there any more; nobody may say that a call of it that began had no effect."""
    return Tool(name=name, description="", schema={"type": "object"}, effect=Effect.ONCE)


def offer_tools(listed: Sequence[tuple[ToolServer, Sequence[Tool]]]) -> Mapping[str, OfferedTool]:
    """All tools by what models call them; raises ValueError with a sentence where two would have the same name."""
    offered: dict[str, OfferedTool] = {}
    for server, tools in listed:
        for tool in tools:
            name = name_for_models(tool.name)
            if (other := offered.get(name)) is not None:
                raise ValueError(
                    f"two of its tools are called {name}: name {tool.name} in the deny of one of their servers "
                    f"({other.server.label}, {server.label})"
                )
            offered[name] = OfferedTool(tool=tool, server=server)
    return offered


def leave_out_undescribed(offered: Mapping[str, OfferedTool], model: Model) -> Mapping[str, OfferedTool]:
    """`offered`, without those whose schema the library cannot tell `model` of: it would fail each turn with them."""
    return {name: one for name, one in offered.items() if _can_describe(one.tool, name, model)}


def _can_describe(tool: Tool, name: str, model: Model) -> bool:
    try:
        model.customize_request_parameters(ModelRequestParameters(function_tools=[_describe(tool, name)]))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other tools are there
        structlog.get_logger().warning("tool_left_out", tool=tool.name[:200], cause=str(error)[:500])
        return False
    return True
