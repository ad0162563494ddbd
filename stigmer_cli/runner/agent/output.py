"""An answer that has to fit a JSON Schema: what the model is told, and what becomes of an answer that does not fit."""

import json
from collections.abc import Mapping

from pydantic_ai.exceptions import ModelRetry

from stigmer_cli.json_schema import find_misfit
from stigmer_cli.json_text import read_json

FENCE = "```"


class StructuredOutput:
    """Checks answers against a schema; `problem` is why the last one did not fit."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        self._schema = schema
        self.problem = ""

    @property
    def instructions(self) -> str:
        """What the model is told, after the agent's own instructions."""
        schema = json.dumps(self._schema, ensure_ascii=False, sort_keys=True)
        return f"Answer with one JSON value that fits this JSON Schema, and with nothing else:\n{schema}"

    def check(self, answer: str) -> str:
        """The answer as plain JSON. Raises ModelRetry, which has the model asked again, where it does not fit."""
        value, self.problem = self._read(answer)
        if not self.problem:
            return json.dumps(value, ensure_ascii=False)
        raise ModelRetry(f"The answer does not fit the schema: {self.problem}")

    def find_problem(self, answer: str) -> str:
        """Why `answer` does not fit; empty where it does."""
        return self._read(answer)[1]

    def _read(self, answer: str) -> tuple[object, str]:
        """The value, and why it does not fit; empty where it does."""
        try:
            value = read_json(_without_fence(answer))
        except ValueError as error:
            return None, f"it is no JSON ({error})"
        return value, find_misfit(value, self._schema)


def describe_misfit(problem: str) -> str:
    """Why the execution fails, as a sentence."""
    return f"the answer does not fit spec.output: {problem}"


def _without_fence(answer: str) -> str:
    """What stands in the fence that models like to put around JSON."""
    text = answer.strip()
    if not (text.startswith(FENCE) and text.endswith(FENCE) and "\n" in text):
        return text
    return text[text.index("\n") : -len(FENCE)]
