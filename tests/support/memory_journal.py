"""A journal in memory with the rules of the real one: what the attempts of one execution have recorded."""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.domain.step import Effect
from stigmer_cli.runner.journal import Json, Performed, StepCall, StepFailed, StepParked


@dataclass
class MemoryJournal:
    """`steps` outlive attempts; `performed` are the keys that the present attempt performed."""

    steps: dict[str, tuple[str, Json]] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    performed: list[str] = field(default_factory=list)
    attempt: int = 1
    decisions: dict[str, DecisionBody] = field(default_factory=dict)

    def next_attempt(self) -> None:
        self.attempt += 1
        self.performed = []

    async def perform(
        self,
        step: StepCall,
        effect: Callable[[], Awaitable[Json | Performed]],
        *,
        admit: Callable[[], None] = lambda: None,
    ) -> Json:
        text = json.dumps(step.input, sort_keys=True, allow_nan=False)
        if step.key in self.begun and self.begun[step.key] != text:
            raise StepParked(f"{step.key} was recorded with another input")
        if step.key in self.steps:
            return self._recorded(step.key)
        if step.key in self.begun and step.effect is Effect.ONCE:
            raise StepParked(f"{step.key} may have taken effect")
        admit()
        self.begun[step.key] = text
        self.performed.append(step.key)
        try:
            given = await effect()
            result = given.result if isinstance(given, Performed) else given
            self.steps[step.key] = ("DONE", json.loads(json.dumps(result)))
        except StepFailed as error:
            self.steps[step.key] = ("FAILED", error.message)
        return self._recorded(step.key)

    async def is_recorded(self, key: str) -> bool:
        return key in self.steps

    async def find(self, key: str) -> Json:
        return self.steps[key][1] if key in self.steps else None

    async def read_decisions(self) -> Mapping[str, DecisionBody]:
        return self.decisions

    async def list_recorded_tools(self) -> Collection[str]:
        """The names of the tools of which calls are recorded."""
        begun = [json.loads(self.begun[key]) for key in self.steps]
        return {step["tool"] for step in begun if "tool" in step}

    def _recorded(self, key: str) -> Json:
        state, result = self.steps[key]
        if state == "FAILED":
            raise StepFailed(str(result))
        return result
