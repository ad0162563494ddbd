"""What an agent may call, and how far: servers that speak the Model Context Protocol (MCP), and limits.

tools:
  - mcp: {command: [npx, -y, "@modelcontextprotocol/server-filesystem", /srv/notes]}
    allow: [read_file, write_file]
    effects: {write_file: repeatable}
  - mcp: {url: "https://tools.example.com/mcp", headers: {Authorization: "Bearer ..."}}
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from stigmer_cli.api.wire import Asked, Sent
from stigmer_cli.domain.secret import find_name_problem, find_references
from stigmer_cli.domain.step import Effect

SERVERS_MAX = 20
WORDS_MAX = 200
VARIABLES_MAX = 100
TOOLS_MAX = 500
VALUE_MAX = 20_000
LIMIT_MAX = 2**31 - 1

ToolName = Annotated[str, Field(min_length=1, max_length=200)]


def _check_references(text: str) -> str:
    for name in sorted(find_references(text)):
        if problem := find_name_problem(name):
            raise PydanticCustomError("secret", "{problem}", {"problem": problem})
    return text


Value = Annotated[str, Field(max_length=VALUE_MAX)]
SecretValue = Annotated[Value, AfterValidator(_check_references)]
"""May hold references `${secrets.NAME}`, which the runner fills."""

Variable = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
Header = Annotated[str, Field(pattern="^[!#$%&'*+.^_`|~A-Za-z0-9-]+$", max_length=200)]
ToolEffect = Literal["none", "repeatable", "once"]
"""What calling a tool twice would do: nothing, the same as once, or more than once."""


class Approval(StrEnum):
    """Which calls wait for a person's decision."""

    ALWAYS = "always"
    NEVER = "never"
    ONCE_EFFECTS = "once-effects"


class McpBody(Asked):
    """A server: a `command` that the runner starts and speaks with over its standard input and output, or a `url`.

    A command gets the variables `env`, and of the runner's own only PATH, HOME and LANG; it starts in the folder `cwd`.
    """

    command: list[Value] = Field(default_factory=list, max_length=WORDS_MAX)
    env: dict[Variable, SecretValue] = Field(default_factory=dict, max_length=VARIABLES_MAX)
    cwd: str | None = Field(default=None, min_length=1, max_length=VALUE_MAX)
    url: str | None = Field(default=None, max_length=VALUE_MAX)
    headers: dict[Header, SecretValue] = Field(default_factory=dict, max_length=VARIABLES_MAX)

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "McpBody":
        if find_references(" ".join([*self.command, self.url or ""])):
            raise PydanticCustomError("mcp", "a secret can stand in env and headers only")
        if bool(self.command) == (self.url is not None):
            raise PydanticCustomError("mcp", "a server has either a command or a url")
        if self.url is None and self.headers:
            raise PydanticCustomError("mcp", "headers belong to a url, and this server has a command")
        if self.url is not None and (self.env or self.cwd):
            raise PydanticCustomError("mcp", "env and cwd belong to a command, and this server has a url")
        if self.url is not None and not _is_http(self.url):
            raise PydanticCustomError("mcp", "the url has to begin with http:// or https://, and to name a host")
        return self

    @property
    def label(self) -> str:
        """The command, or the address without what may be secret, as people read it."""
        if self.url is None:
            return " ".join(self.command)
        found = urlsplit(self.url)
        return f"{found.scheme}://{found.netloc.rpartition('@')[2]}{found.path}"


class ToolServerBody(Asked):
    """A server and its tools: those that `allow` names, or else all, without those that `deny` names.

    `effects` says what calling a tool twice would do, and overrides what the server says of it. `approve` says which
    calls wait until a person has approved them: all, none, or those whose effect is `once`.
    """

    mcp: McpBody
    allow: list[ToolName] | None = Field(default=None, min_length=1, max_length=TOOLS_MAX)
    deny: list[ToolName] = Field(default_factory=list, max_length=TOOLS_MAX)
    approve: Approval = Approval.NEVER
    effects: Mapping[ToolName, ToolEffect] = Field(default_factory=dict, max_length=TOOLS_MAX)

    def offers(self, tool: str) -> bool:
        """Whether the agent may call `tool`."""
        return (self.allow is None or tool in self.allow) and tool not in self.deny

    def needs_approval(self, effect: Effect) -> bool:
        """Whether a call of a tool with this effect waits until a person has approved it."""
        return self.approve is Approval.ALWAYS or (self.approve is Approval.ONCE_EFFECTS and effect is Effect.ONCE)


Tools = Annotated[list[ToolServerBody], Field(max_length=SERVERS_MAX)]


class LimitsBody(Asked):
    """What one execution may use; counted in its journal, and so over all of its attempts. Absent: without limit.

    `turns` are answers of the model, `tool_calls` calls of tools, `tokens` those in and out, as far as the model's
    provider counts them, `seconds` the time that turns and calls took, and `money` US dollars by list prices.
    """

    turns: int | None = Field(default=None, ge=1, le=LIMIT_MAX)
    tool_calls: int | None = Field(default=None, ge=0, le=LIMIT_MAX)
    tokens: int | None = Field(default=None, ge=1, le=LIMIT_MAX)
    seconds: float | None = Field(default=None, gt=0, le=LIMIT_MAX, allow_inf_nan=False)
    money: float | None = Field(default=None, gt=0, le=LIMIT_MAX, allow_inf_nan=False)

    @model_validator(mode="after")
    def _limits_something(self) -> "LimitsBody":
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise PydanticCustomError("limits", "limits needs one of turns, toolCalls, tokens, seconds and money")
        return self

    def to_document(self) -> dict[str, object]:
        """What is limited, as it is stored."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


LimitName = Literal["turns", "toolCalls", "tokens", "seconds", "money"]
Limits = Annotated[LimitsBody | None, Field(exclude_if=lambda limits: limits is None)]
Schema = Annotated[dict[str, JsonValue] | None, Field(exclude_if=lambda schema: schema is None)]
"""A JSON Schema, draft 2020-12."""


class LoopSpec(Sent):
    """What an agent has whose model and tools take turns, or whose answer has to fit a schema."""

    tools: Tools = Field(default_factory=list)
    output: Schema = None
    limits: Limits = None


LOOP_KEYS = frozenset(LoopSpec.model_fields)


def _is_http(url: str) -> bool:
    try:
        found = urlsplit(url)
        return found.scheme in {"http", "https"} and bool(found.hostname)
    except ValueError:
        return False
