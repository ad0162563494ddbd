"""A workflow over the journal of a real store: an attempt that ends anywhere is gone on with by the next one."""

from collections.abc import Mapping

import pytest

from stigmer_cli.domain.step import Effect, StepState
from stigmer_cli.runner.journal import Journal, StepParked
from stigmer_cli.runner.workflow_journal import WorkflowJournal
from stigmer_cli.store.store import Store
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, Functions, Waits
from tests.contracts.store.drafts import running
from tests.integration.runner.test_journal import Desk
from tests.integration.runner.test_journal import store as store  # noqa: PLC0414 - a fixture
from tests.simulation.reports import RunnerLink
from tests.support.workflows import Crash, MemoryWorld, run_text

TEXT = """
do:
  - ask: {call: agent, with: {n: 1}}
  - race: {fork: {compete: true, branches: [{slow: {wait: PT1H}}, {fast: {call: agent, with: {n: 2}}}]}}
  - risky:
      timeout: {after: PT1H}
      try: [{fail: {call: agent, with: {n: -1}}}]
      catch: {errors: {with: {status: 418}}, do: [{seen: {set: {seen: '${ $error }'}}}]}
  - pause: {wait: PT10S}
  - last: {call: agent, with: {n: 3}, output: {as: '{n: .n, seen: $input.seen.status}'}}
"""


class Service:
    """Counts what it is asked; numbers from 3 on happen once. It dies with the attempt at `dies_at`."""

    def __init__(self) -> None:
        self.asked: list[Json] = []
        self.dies_at: Json = None

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        return Effect.ONCE if arguments["n"] == 3 else Effect.REPEATABLE

    async def perform(self, request: CallRequest) -> Json:
        number = request.arguments["n"]
        self.asked.append(number)
        if number == self.dies_at:
            raise Crash
        if number == -1:
            raise make_error(ErrorType.COMMUNICATION, "it is a teapot", status=418)
        return {"n": number}


class StoredWorld(MemoryWorld):
    """Its journal is that of an attempt, in the store."""

    def __init__(self, journal: Journal, ms: int) -> None:
        super().__init__(is_patient=False)
        self.journal = WorkflowJournal(journal)  # type: ignore[assignment]  # the other seam of the same protocol
        self.ms += ms


async def test_each_attempt_goes_on_where_the_one_before_ended(store: Store, evaluator: Evaluator) -> None:
    desk, service = Desk(store, await running(store), RunnerLink()), Service()
    functions = Functions(calls={"agent": service})

    async def attempt(number: int, ms: int = 0) -> Json:
        world = StoredWorld(await desk.attempt(number), ms)
        return await run_text(evaluator, TEXT, {}, world=world, functions=functions)

    service.dies_at = 2
    with pytest.raises(Crash):
        await attempt(1)
    assert service.asked == [1, 2]
    service.dies_at = -1
    with pytest.raises(Crash):
        await attempt(2)
    assert service.asked == [1, 2, 2, -1]
    service.dies_at = None
    with pytest.raises(Waits):
        await attempt(3)
    with pytest.raises(Waits):
        await attempt(4, 9_999)
    assert service.asked == [1, 2, 2, -1, -1], "nothing that is recorded is asked for again"
    service.dies_at = 3
    with pytest.raises(Crash):
        await attempt(5, 10_000)
    with pytest.raises(StepParked):
        await attempt(6, 10_000)
    assert service.asked == [1, 2, 2, -1, -1, 3], "what happens once is never asked for twice"

    states = {key: state for key, state, _ in await desk.states()}
    assert states["/do/2/risky/try/0/fail"] is StepState.FAILED
    assert states["/do/1/race/fork/winner"] is StepState.DONE
    assert states["/do/4/last"] is StepState.UNKNOWN


async def test_an_error_comes_back_with_all_its_fields(store: Store, evaluator: Evaluator) -> None:
    desk, service = Desk(store, await running(store), RunnerLink()), Service()
    text = "do: [{a: {call: agent, with: {n: -1}}}]"
    found = []
    for number in (1, 2):
        world = StoredWorld(await desk.attempt(number), 0)
        with pytest.raises(WorkflowError) as caught:
            await run_text(evaluator, text, {}, world=world, functions=Functions(calls={"agent": service}))
        found.append(caught.value.fields)
    assert found[0] == found[1]
    assert (found[0]["status"], found[0]["detail"], found[0]["instance"]) == (418, "it is a teapot", "/do/0/a")
    assert service.asked == [-1]
