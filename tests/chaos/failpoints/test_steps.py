"""A part is killed before, within and after each step: no `once` effect twice, none lost, and nothing else waits."""

from collections.abc import Sequence

import pytest
from _pytest.mark import ParameterSet

from stigmer_cli.client import Client
from stigmer_cli.domain.execution import AttentionCode
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Effect
from tests.chaos.failpoints.harness import FailpointHarness
from tests.chaos.failpoints.points import RUNNER_STEP_POINTS, SERVER_STEP_POINTS
from tests.chaos.journals import Journal, read_effects, read_journal, wrong_journal, wrong_mark
from tests.chaos.tool_agents import EFFECTS, Call, ToolAgent
from tests.support.polling import eventually

DIE_MAX_S = 30.0
ENDS_MAX_S = 60.0
TOOLS = {Effect.ONCE: "send", Effect.REPEATABLE: "put", Effect.NONE: "read"}
CALL = "/turns/0/calls/0"

AT_THE_CALL = {"step end arrived": 2, "step end committed": 2, "step end wanted": 2, "step end taken": 2}
"""How often a point is reached until it is about the call: the turn before it ends, too, and does not begin."""

IN_THE_AIR = {"step begin answered": 0, "call begins": 0, "call answered": 1, "step end wanted": 1}
"""Where a runner leaves a call behind of which nobody knows whether it took effect, and how often it did."""

BEGUN_FIRST = ("step begin wanted", "step begin answered")
"""Points that a call of effect `none` does not reach: it is recorded as a whole."""

QUICK = {("call answered", Effect.ONCE)}
"""The others are only tested with --slow."""


def agent_for(effect: Effect) -> ToolAgent:
    """Calls a tool of this effect, and then reads."""
    turns = [[Call(tool=TOOLS[effect], text="a")], [Call(tool="read", text="b")]]
    return ToolAgent(name=f"caller-{effect}", turns=turns, is_command=True)


def cases(points: Sequence[tuple[str, Effect]]) -> list[ParameterSet]:
    """Each a point and the effect of the call at it."""
    return [
        pytest.param(
            point, effect, marks=[] if (point, effect) in QUICK else [pytest.mark.slow], id=f"{point}-{effect}"
        )
        for point, effect in points
    ]


SERVER_CASES = [(point.name, Effect.ONCE) for point in SERVER_STEP_POINTS]
RUNNER_CASES = [
    (point.name, effect)
    for point in RUNNER_STEP_POINTS
    for effect in Effect
    if effect is not Effect.NONE or point.name not in BEGUN_FIRST
]


@pytest.mark.parametrize(("point", "effect"), cases(SERVER_CASES))
async def test_a_server_killed_at_any_step_of_a_call_repeats_nothing(
    harness: FailpointHarness, point: str, effect: Effect
) -> None:
    agent = agent_for(effect)
    await harness.until_all_poll()
    async with harness.server.client() as client:
        await client.apply([agent.manifest(harness.folder, harness.effects, "")])
        with harness.server_points.arm(point, f"kill@{AT_THE_CALL.get(point, 1)}"):
            id_ = await harness.ask_tools(client, agent)
            await harness.wait_server_dead(DIE_MAX_S)
    harness.server.kill()
    await harness.server.start()
    async with harness.server.client() as client:
        await _completed(harness, client, id_, agent, effects=1)


@pytest.mark.parametrize(("point", "effect"), cases(RUNNER_CASES))
async def test_a_runner_killed_at_any_step_of_a_call_repeats_only_what_may_be_repeated(
    harness: FailpointHarness, point: str, effect: Effect
) -> None:
    agent = agent_for(effect)
    await harness.until_all_poll()
    async with harness.server.client() as client:
        await client.apply([agent.manifest(harness.folder, harness.effects, "")])
        with harness.runner_points.arm(point, f"kill@{AT_THE_CALL.get(point, 1)}"):
            id_ = await harness.ask_tools(client, agent)
            dead = await harness.wait_runner_dead(DIE_MAX_S)
        dead.kill()
        dead.start()
        if effect is Effect.ONCE and point in IN_THE_AIR:
            await _parked(harness, client, id_, agent, effects=IN_THE_AIR[point])
            await client.cancel_execution(id_)
        else:
            repeats = effect is not Effect.ONCE and point in ("call answered", "step end wanted")
            await _completed(harness, client, id_, agent, effects=1 + repeats)


async def _completed(harness: FailpointHarness, client: Client, id_: str, agent: ToolAgent, *, effects: int) -> None:
    async def is_over() -> bool:
        status = (await client.execution(id_)).status
        return status.phase.is_terminal or status.attention is not None

    await eventually(is_over, within_s=ENDS_MAX_S, what=f"{id_} ends")
    status = (await client.execution(id_)).status
    assert (status.phase, status.attention, status.output) == (Phase.COMPLETED, None, agent.end)
    journal = await _journal(harness, client, id_, agent)
    assert wrong_journal(journal, is_completed=True) == ""
    assert len(journal.lines(CALL)) == effects


async def _parked(harness: FailpointHarness, client: Client, id_: str, agent: ToolAgent, *, effects: int) -> None:
    async def is_marked() -> bool:
        return (await client.execution(id_)).status.attention is not None

    await eventually(is_marked, within_s=ENDS_MAX_S, what=f"{id_} waits for a person")
    status = (await client.execution(id_)).status
    journal = await _journal(harness, client, id_, agent)
    assert status.attention is not None
    assert status.attention.code is AttentionCode.EFFECT_UNKNOWN
    assert wrong_mark(journal, status.attention.code, status.attention.reason) == ""
    assert wrong_journal(journal, is_completed=False) == ""
    assert len(journal.lines(CALL)) == effects


async def _journal(harness: FailpointHarness, client: Client, id_: str, agent: ToolAgent) -> Journal:
    assert EFFECTS[agent.calls[CALL].tool] is agent.calls[CALL].effect
    return await read_journal(client, id_, agent, read_effects(harness.effects))
