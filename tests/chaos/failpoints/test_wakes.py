"""A part is killed before, within and after the commit that ends a wait, and in the replay that follows.

The wait ends once, and what comes after it happens once, whatever has ended it: a time, a decision, an event, another
execution, or a person who lifts a limit.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from stigmer_cli.api.agent_tools import LimitsBody
from stigmer_cli.api.decisions import CallName, DecideRequest
from stigmer_cli.api.resume import ResumeRequest
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import Verdict, WaitFor
from stigmer_cli.errors import StigmerError
from tests.chaos.failpoints.harness import FailpointHarness
from tests.chaos.journals import Performer, read_effects, read_journal
from tests.chaos.tool_agents import Call, ToolAgent
from tests.chaos.workflow_documents import ChaosWorkflow, plain, shell, wait
from tests.chaos.workflow_journals import find_wrong
from tests.support.polling import eventually

WAITS_MAX_S = 30.0
DIE_MAX_S = 40.0
ENDS_MAX_S = 60.0
SENDS = [[Call(tool="send", text="a")]]
TOLD = "wakes.told"


@dataclass(frozen=True, kw_only=True)
class Wake:
    """What waits, the step that follows and must take effect once, and where the server dies over the end of the wait.

    Before that it has recorded a step, which is replayed. `helpers` are agents that it needs.
    """

    performer: Performer
    call: str
    points: Sequence[str]
    helpers: Sequence[ToolAgent] = field(default=())


READER = ToolAgent(name="reader", turns=[[Call(tool="read", text="b", seconds=4.0)]], is_command=True)
WAKES: Mapping[WaitFor, Wake] = {
    WaitFor.TIME: Wake(
        performer=ChaosWorkflow(name="sleeper", parts=[wait("nap", "PT10S"), shell(1, "run", "a")]),
        call="/do/1/run",
        points=("timer due", "timer ended", "timer committed"),
    ),
    WaitFor.APPROVAL: Wake(
        performer=ToolAgent(name="careful", turns=SENDS, is_command=True, approve="always"),
        call="/turns/0/calls/0",
        points=("decision arrived", "decision written", "decision committed"),
    ),
    WaitFor.EVENT: Wake(
        performer=ChaosWorkflow(
            name="listener",
            parts=[
                wait("begin", "PT0.1S"),
                plain("hear", {"listen": {"to": {"one": {"with": {"type": TOLD, "subject": "${ $context.order }"}}}}}),
                shell(2, "run", "a"),
            ],
        ),
        call="/do/2/run",
        points=("event arrived", "listeners woken", "event committed"),
    ),
    WaitFor.EXECUTION: Wake(
        performer=ChaosWorkflow(
            name="parent",
            parts=[
                wait("begin", "PT0.1S"),
                plain("ask", {"call": "agent", "with": {"agent": READER.name, "message": "read"}}),
                shell(2, "run", "a"),
            ],
        ),
        call="/do/2/run",
        points=("outcome arrived", "parent woken", "outcome committed"),
        helpers=[READER],
    ),
    WaitFor.LIMIT: Wake(
        performer=ToolAgent(name="limited", turns=SENDS, is_command=True, limits={"toolCalls": 0}),
        call="/turns/0/calls/0",
        points=("resume arrived", "limits renewed", "resume committed"),
    ),
}
REPLAY = ("journal read", "step begin wanted")
"""Where a runner dies that goes on with what was woken."""

QUICK = {(WaitFor.APPROVAL, "decision committed"), (WaitFor.EVENT, "listeners woken"), (WaitFor.EVENT, "journal read")}
"""The others are only tested with --slow."""


def cases(points: Sequence[tuple[WaitFor, str]]) -> list[ParameterSet]:
    """Each a wait and a point."""
    return [
        pytest.param(word, point, marks=[] if (word, point) in QUICK else [pytest.mark.slow], id=f"{word}-{point}")
        for word, point in points
    ]


SERVER_CASES = [(word, point) for word, wake in WAKES.items() for point in wake.points]
RUNNER_CASES = [*((word, point) for word in WAKES for point in REPLAY), (WaitFor.APPROVAL, "decisions read")]


@pytest.mark.parametrize(("word", "point"), cases(SERVER_CASES))
async def test_a_server_killed_over_the_end_of_a_wait_ends_it_once(
    harness: FailpointHarness, word: WaitFor, point: str
) -> None:
    await harness.until_all_poll()
    async with harness.server.client() as client:
        id_ = await _waiting(harness, client, word)
        with harness.server_points.arm(point):
            with suppress(StigmerError):
                await _end_wait(harness, client, word, id_)
            await harness.wait_server_dead(DIE_MAX_S)
    harness.server.kill()
    await harness.server.start()
    async with harness.server.client() as client:
        await _end_wait(harness, client, word, id_)  # the repeat of somebody who heard nothing
        await _completed(harness, client, word, id_)


@pytest.mark.parametrize(("word", "point"), cases(RUNNER_CASES))
async def test_a_runner_killed_in_the_replay_after_a_wait_repeats_nothing(
    harness: FailpointHarness, word: WaitFor, point: str
) -> None:
    await harness.until_all_poll()
    async with harness.server.client() as client:
        id_ = await _waiting(harness, client, word)
        with harness.runner_points.arm(point):
            await _end_wait(harness, client, word, id_)
            dead = await harness.wait_runner_dead(DIE_MAX_S)
        dead.kill()
        dead.start()
        await _completed(harness, client, word, id_)


async def _waiting(harness: FailpointHarness, client: Client, word: WaitFor) -> str:
    """The id of an execution that waits for that."""
    wake = WAKES[word]
    agents = [agent.manifest(harness.folder, harness.effects, "") for agent in wake.helpers]
    performer = wake.performer
    if isinstance(performer, ChaosWorkflow):
        await client.apply_workflows([performer.manifest(harness.effects, "")], agents)
    else:
        await client.apply([*agents, performer.manifest(harness.folder, harness.effects, "")])
    id_ = await harness.ask_tools(client, performer)

    async def waits() -> bool:
        waiting = (await client.execution(id_)).status.waiting
        return waiting is not None and waiting.wait_for == word

    await eventually(waits, within_s=WAITS_MAX_S, what=f"{id_} waits for {word}")
    return id_


async def _end_wait(harness: FailpointHarness, client: Client, word: WaitFor, id_: str) -> None:
    """Do what ends the wait, where somebody has to; done twice it counts once."""
    match word:
        case WaitFor.APPROVAL:
            await client.decide(DecideRequest(calls=[CallName(id=id_)], verdict=Verdict.APPROVED))
        case WaitFor.EVENT:
            await client.publish_events([_event(harness)])
        case WaitFor.LIMIT:
            await client.resume_executions(ResumeRequest(ids=[id_], limits=LimitsBody(tool_calls=9)))
        case _:
            pass


def _event(harness: FailpointHarness) -> Mapping[str, Any]:
    order = harness.log[-1].key
    return {"specversion": "1.0", "id": order, "source": "/wakes", "type": TOLD, "subject": order}


async def _completed(harness: FailpointHarness, client: Client, word: WaitFor, id_: str) -> None:
    wake = WAKES[word]

    async def is_over() -> bool:
        status = (await client.execution(id_)).status
        return status.phase.is_terminal or status.attention is not None

    await eventually(is_over, within_s=ENDS_MAX_S, what=f"{id_} ends")
    status = (await client.execution(id_)).status
    performer = wake.performer
    output = performer.end if isinstance(performer, ToolAgent) else performer.output(harness.log[-1].key)
    assert (status.phase, status.attention, status.output) == (Phase.COMPLETED, None, output)
    journal = await read_journal(client, id_, performer, read_effects(harness.effects))
    assert find_wrong(journal, is_completed=True) == ""
    assert len(journal.lines(wake.call)) == 1
    events = [event.type for event in await client.events(id_)]
    assert (events.count(EventType.WAITING), events.count(EventType.RESUMED)) == (1, 1)
