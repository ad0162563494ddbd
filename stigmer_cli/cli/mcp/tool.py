"""Makes a tool of a method: bounds and redacts what it answers, and turns an error into a sentence with a way out."""

import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

import structlog
from mcp_types import CallToolResult, TextContent, ToolAnnotations

from stigmer_cli.api.problem import problem_of
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.mcp.answers import Answer
from stigmer_cli.cli.mcp.bounds import bound_result
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.doctor.redaction import Redaction, known_secrets
from stigmer_cli.errors import OperationFailed, ServerUnavailable, StigmerError

LOOK = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
"""Changes nothing."""

SOURCE_MAX = 40_000
"""Characters of one text that are searched for secrets; no answer shows as much."""

DEFECT = "the tool failed in a way that was not foreseen; the standard error of stigmer mcp has the details"

T = TypeVar("T", bound="Toolbox")
P = ParamSpec("P")
A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, kw_only=True)
class Description:
    """How a tool is offered. `more`: how to get what an answer leaves out."""

    title: str
    annotations: ToolAnnotations
    more: str
    is_newest_last: bool = False


@dataclass(kw_only=True)
class Toolbox:
    """The invocation that the tools of a class work for."""

    cli: Cli

    def answer(self, found: Answer, description: Description) -> CallToolResult:
        """`found` without secrets, short enough, as text and as an object."""
        clean = self._redaction().value(_clean(found.model_dump(mode="json", by_alias=True)))
        assert isinstance(clean, dict)  # noqa: S101 - an object stays one
        bounded = bound_result(clean, more=description.more, is_newest_last=description.is_newest_last)
        text = json.dumps(bounded, ensure_ascii=False)
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=bounded)

    def refuse(self, error: StigmerError) -> CallToolResult:
        """`error` as a sentence and a way out, without secrets."""
        told = self.cli.explain(error) if isinstance(error, ServerUnavailable) else error
        redaction = self._redaction()
        text = redaction.text(strip_control_sequences(f"{told.message}\nhint: {told.hint}"))
        body = redaction.value(problem_of(told).model_dump(mode="json", by_alias=True, exclude_none=True))
        return CallToolResult(
            content=[TextContent(type="text", text=text)], structured_content={"problem": body}, is_error=True
        )

    def _redaction(self) -> Redaction:
        settings = self.cli.load_settings_or_defaults()
        return Redaction(known_secrets(settings, self.cli.environ), user_home=self.cli.user_home)


DESCRIPTIONS: dict[str, Description] = {}
"""The description of each tool, by its name."""


def tool(
    description: Description,
) -> Callable[[Callable[Concatenate[T, P], Awaitable[A]]], Callable[Concatenate[T, P], Awaitable[CallToolResult]]]:
    """Make a tool of a method that returns an answer; its name and its docstring are the tool's."""

    def make(
        method: Callable[Concatenate[T, P], Awaitable[A]],
    ) -> Callable[Concatenate[T, P], Awaitable[CallToolResult]]:
        @functools.wraps(method)
        async def call(self: T, /, *args: P.args, **kwargs: P.kwargs) -> CallToolResult:
            try:
                return self.answer(await method(self, *args, **kwargs), description)
            except StigmerError as error:
                return self.refuse(error)
            except Exception as error:  # noqa: BLE001 - a defect of one tool is told as such, and ends nothing else
                structlog.get_logger().exception("tool_failed", tool=method.__name__)
                return self.refuse(OperationFailed(f"{DEFECT} ({type(error).__name__})", hint="stigmer doctor"))

        DESCRIPTIONS[method.__name__] = description
        return call

    return make


def _clean(value: object) -> object:
    """`value` without control sequences, and with texts of at most `SOURCE_MAX` characters."""
    match value:
        case str():
            return strip_control_sequences(value[:SOURCE_MAX])
        case dict():
            return {name: _clean(one) for name, one in value.items()}
        case list():
            return [_clean(one) for one in value]
        case _:
            return value
