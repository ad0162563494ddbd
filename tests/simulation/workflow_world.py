"""What workflows of a simulation meet: their expressions in this process, and tools that note what they did."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

import httpx
import jq

from stigmer_cli.api.reports import Work
from stigmer_cli.domain.idempotency import idempotency_key
from stigmer_cli.runner.attempt_end import End
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.waits import Wait
from stigmer_cli.runner.workflow_attempt import Shared
from stigmer_cli.runner.workflows import Workflows
from stigmer_cli.workflow.expression.child import Answer, Programs, Question, evaluate_safely
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import StepPlace
from tests.chaos.journals import EffectLine
from tests.chaos.tool_server import HEADER

URL = "http://tools.example/effects"
BREAKS = 0.02
"""How often the connection to a tool breaks off, before or after the effect."""

TAKES_S = 0.2


@dataclass
class ToolLedger:
    """The calls of workflows that took effect, by idempotency key. `refused`: those that were refused after it."""

    lines: dict[str, list[EffectLine]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def note(self, tool: str, text: str, key: str) -> None:
        """It took effect, now."""
        line = EffectLine(tool=tool, text=text, key=key, at_s=asyncio.get_running_loop().time())
        self.lines.setdefault(key, []).append(line)


class SimTools:
    """The service that workflows call over HTTP, and the shell that they run commands in."""

    def __init__(self, ledger: ToolLedger, rng: random.Random) -> None:
        self._ledger = ledger
        self._rng = rng

    async def respond(self, request: httpx.Request) -> httpx.Response:
        """The response to a call; raises ConnectError where it did not come, and ReadError where it took effect."""
        given, key, tool = json.loads(request.content), request.headers.get(HEADER, ""), request.method.lower()
        await asyncio.sleep(self._rng.uniform(0, TAKES_S))
        if self._rng.random() < BREAKS:
            raise httpx.ConnectError("refused")
        self._ledger.note(tool, given["text"], key)
        await asyncio.sleep(float(given.get("seconds", 0)) + self._rng.uniform(0, TAKES_S))
        if self._rng.random() < BREAKS:
            raise httpx.ReadError("it broke off")
        is_refused = bool(given.get("refuses")) and key not in self._ledger.refused
        self._ledger.refused.add(key)
        return httpx.Response(503 if is_refused else 200, json={"said": f"{tool} {given['text']}"})

    async def perform(self, settings: Mapping[str, Json], place: StepPlace) -> Json:  # noqa: ARG002 - the seam's
        """What the command of the chaos runs leaves, which gets execution, step and text."""
        execution, step, text, _ = cast("list[str]", settings["arguments"])
        await asyncio.sleep(self._rng.uniform(0, TAKES_S))
        self._ledger.note("shell", text, idempotency_key(execution, step))
        await asyncio.sleep(self._rng.uniform(0, TAKES_S))
        return {"code": 0, "stdout": f"shell {text}", "stderr": ""}


class SimEvaluator(Evaluator):
    """Evaluates in this process, where time is virtual: what is asked here ends."""

    async def _ask(self, question: Question, what: str, program: bytes, given: bytes) -> tuple[Answer, bytes]:
        assert question is Question.EXPRESSION, what
        return evaluate_safely(_programs().evaluate, program, given)


@cache
def _programs() -> Programs:
    return Programs(jq)


class SimWorkflows(Workflows):
    """Tells `on_attempt` of each attempt that is performed."""

    on_attempt: Callable[[Attempt], None]

    async def perform(
        self, attempt: Attempt, work: Work, *, is_leaving: Callable[[], bool] = lambda: False
    ) -> End | Wait | None:
        self.on_attempt(attempt)
        return await super().perform(attempt, work, is_leaving=is_leaving)


def make_workflows(
    reporter: Reporter, clock_and_rng: ClockAndRng, ledger: ToolLedger, *, on_attempt: Callable[[Attempt], None]
) -> Workflows:
    """The workflows of one runner, which calls the tools of the simulation."""
    tools = SimTools(ledger, clock_and_rng.rng)
    client = httpx.AsyncClient(transport=httpx.MockTransport(cast("Any", tools.respond)), trust_env=False)
    functions = make_functions(client, clock_and_rng.clock, has_children=True)
    made = SimWorkflows(reporter, clock_and_rng)
    made.on_attempt = on_attempt
    made.shared = Shared(evaluator=SimEvaluator(), functions=replace(functions, processes={"shell": tools}))
    return made
