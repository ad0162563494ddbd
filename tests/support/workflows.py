"""A world for workflows: a journal in memory, a clock that waits move, and events that are kept."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any

from stigmer_cli.workflow.document import Workflow, read_workflows
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.interpret import interpret
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import (
    Child,
    ChildRequest,
    ExecutionFacts,
    FoundEvents,
    Functions,
    Listening,
    TaskEvent,
    TaskStep,
    Waits,
)

HEAD = "document: {dsl: '1.0.3', namespace: test, name: test, version: '1.0.0'}\n"
EVENTS_PAGE = 3
STARTED_MS = 1_700_000_000_000


class Crash(Exception):
    """The attempt ends here, as if its process had been killed."""


class MemoryJournal:
    """The steps of an execution, kept as the server keeps them: results, errors, and the inputs that they had.

    `crashes_at`: how many steps are performed until the attempt ends, after the effect and before the record.
    """

    def __init__(self) -> None:
        self.results: dict[str, Json] = {}
        self.errors: dict[str, Mapping[str, Json]] = {}
        self.inputs: dict[str, Json] = {}
        self.performed: list[str] = []
        self.crashes_at: int | None = None
        self.cut: list[str] = []

    async def perform(self, step: TaskStep, effect: Callable[[], Awaitable[Json]]) -> Json:
        assert self.inputs.setdefault(step.key, step.input) == step.input, f"{step.key} has another input than before"
        if step.key in self.errors:
            raise WorkflowError(self.errors[step.key])
        if step.key in self.results:
            return self.results[step.key]
        self.performed.append(step.key)
        try:
            result = await effect()
        except WorkflowError as error:
            self._maybe_crash()
            self.errors[step.key] = error.fields
            raise
        self._maybe_crash()
        self.results[step.key] = result
        return result

    async def find(self, key: str) -> Json:
        return self.results.get(key)

    async def cut_off(self, keys: Sequence[str]) -> None:
        self.cut += keys

    def _maybe_crash(self) -> None:
        if self.crashes_at is not None:
            self.crashes_at -= 1
            if self.crashes_at < 0:
                raise Crash


class MemoryWorld:
    """Time stands still until somebody waits; `is_patient`: who waits is back at once, else Waits is raised."""

    def __init__(self, *, is_patient: bool = True) -> None:
        self.journal = MemoryJournal()
        self.ms = STARTED_MS
        self.is_patient = is_patient
        self.waits: list[tuple[str, int]] = []
        self.published: list[Mapping[str, Json]] = []
        self.incoming: list[Mapping[str, Json]] = []
        self.events: list[TaskEvent] = []
        self._rng = random.Random(1)

    def now_ms(self) -> int:
        return self.ms

    def note_time(self, ms: int) -> None:
        self.ms = max(self.ms, ms)

    def draw(self) -> float:
        return self._rng.random()

    async def wait_until(self, key: str, until_ms: int) -> None:
        if until_ms <= self.ms:
            return
        if not self.is_patient:
            raise Waits(key=key, until_ms=until_ms)
        self.waits.append((key, until_ms - self.ms))
        self.ms = until_ms

    async def has_passed(self, key: str, until_ms: int) -> bool:  # noqa: ARG002
        return until_ms <= self.ms

    async def read_events(self, listening: Listening) -> FoundEvents:
        """A page of a few events, so that there are several."""
        after = listening.after or 0
        found = [(seq, event) for seq, event in enumerate(self.incoming, start=1) if seq > after][:EVENTS_PAGE]
        upto = found[-1][0] if found else len(self.incoming)
        fitting = [(seq, event) for seq, event in found if any(query.fits(event) for query in listening.queries)]
        return FoundEvents(events=fitting, upto=upto, is_last=upto >= len(self.incoming))

    async def wait_for_events(self, listening: Listening) -> None:
        raise Waits(key=listening.key, listenings=[listening])

    async def start_child(self, request: ChildRequest) -> Child:
        """An execution that echoes what it is given, once `is_patient`."""
        output = f"echo: {request.message}" if request.agent else request.input
        return Child(id=f"child{request.key}", has_ended=self.is_patient, output=output)

    async def publish(self, event: Mapping[str, Json]) -> None:
        self.published.append(event)

    def observe(self, event: TaskEvent) -> None:
        self.events.append(event)

    def list_events(self) -> list[str]:
        """What tasks did, in order: `running greet`."""
        return [f"{event.phase} {event.task.name}" for event in self.events]


@cache
def read_one(text: str) -> Workflow:
    """The workflow of `text`, which is whole or begins after its head."""
    [found] = read_workflows("w.yaml", text if text.lstrip().startswith("document:") else HEAD + text)
    assert isinstance(found, Workflow), found.problems
    return found


async def run_text(
    evaluator: Evaluator,
    text: str,
    given: Json = None,
    *,
    world: MemoryWorld | None = None,
    functions: Functions | None = None,
    **facts: Any,
) -> Json:
    """The output of the workflow of `text`."""
    return await interpret(
        read_one(text),
        given,
        facts=ExecutionFacts(id="wex-1", started_ms=STARTED_MS, runtime_version="1.0", **facts),
        world=world or MemoryWorld(),
        functions=functions or Functions(),
        evaluator=evaluator,
    )
