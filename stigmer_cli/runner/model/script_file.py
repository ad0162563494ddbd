"""The file of a scripted model: a list of turns, in YAML, that `apply` checks and the runner plays.

- {text: Hello.}
- {calls: [{tool: read_file, arguments: {path: notes.txt}}], delay: 0.5}
- {fail: the model refuses}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel, model_validator
from pydantic_core import PydanticCustomError

from stigmer_cli.api.usage import Cost, Tokens
from stigmer_cli.api.wire import Asked
from stigmer_cli.errors import ConfigError, reason_of
from stigmer_cli.yaml_source import YamlSource, parse_documents

BYTES_MAX = 4 * 1024 * 1024
DELAY_MAX_S = 3_600.0
TURNS_MAX = 10_000
CALLS_MAX = 100


class ScriptUsage(Asked):
    """What a turn claims to have used, in tokens, and to have cost, in US dollars."""

    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cost: Cost | None = None


class ScriptCall(Asked):
    """A call of a tool, by the name that its server gives it."""

    tool: str = Field(min_length=1, max_length=200)
    arguments: Mapping[str, object] = Field(default_factory=dict)


class ScriptTurn(Asked):
    """One answer of the model: a text, calls of tools, or both, or else a failure with a sentence of its own.

    It comes after `delay` seconds.
    """

    text: str | None = None
    calls: list[ScriptCall] = Field(default_factory=list, max_length=CALLS_MAX)
    fail: str | None = Field(default=None, min_length=1)
    delay: float = Field(default=0.0, ge=0.0, le=DELAY_MAX_S)
    usage: ScriptUsage | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> "ScriptTurn":
        says = self.text is not None or bool(self.calls)
        if says == (self.fail is not None):
            raise PydanticCustomError("turn", "a turn has text, calls, or both, or else fail")
        return self


class Script(RootModel[Annotated[list[ScriptTurn], Field(min_length=1, max_length=TURNS_MAX)]]):
    """The turns of a model, in order: the first answers the message, each other one the results of the calls before."""


def read_script(path: Path) -> Script:
    """The script in the file `path`. Raises ConfigError that lists every problem, with file, line and column."""
    try:
        if not path.is_file():  # nobody may ever write to a named pipe
            raise ConfigError(
                f"cannot read the script {path}: {'no file' if path.exists() else 'there is no such file'}"
            )
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the script {path}: {reason_of(error)}") from error
    if len(data) > BYTES_MAX:
        raise ConfigError(
            f"the script {path} is larger than {BYTES_MAX // 1024 // 1024} MiB", hint="stigmer help agents"
        )
    found = list(parse_documents(YamlSource(name=str(path), text=text), Script))
    problems = [line for one in found if not isinstance(one, Script) for line in one]
    scripts = [one for one in found if isinstance(one, Script)]
    if problems:
        raise ConfigError("\n       ".join(problems))
    if len(scripts) != 1:
        raise ConfigError(f"the script {path} holds {len(scripts)} documents, and has to hold one list of turns")
    return scripts[0]
