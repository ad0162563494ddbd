"""Definitions that executions go on with, whatever becomes of their agents."""

import re
from dataclasses import replace

import pytest

from stigmer_cli.api.agent_tools import LoopSpec
from stigmer_cli.api.resume import ResumeOutcome
from stigmer_cli.api.usage import UsedBody
from stigmer_cli.cli.executions.limits import split_limits
from stigmer_cli.domain.execution import AgentSpec, Outcome, QueueReason
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.agent.budget import Budget, LimitReached
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import AGENT, RUN, agent_draft, draft, running
from tests.support.ids import claim
from tests.support.moves import mark_submitted

TOOLS = {"tools": [{"mcp": {"command": ["serve"], "env": {"KEY": "ü\n"}}, "effects": {"send": "once"}}]}


async def test_tools_are_kept_and_compared(store: Store) -> None:
    wanted = replace(agent_draft("writer"), spec=AgentSpec(document=TOOLS))
    await store.agents.apply([wanted])
    assert [applied.verb for applied in await store.agents.apply([wanted])] == ["unchanged"]
    assert (await store.agents.get("writer")).spec.document == TOOLS
    [without] = await store.agents.apply([agent_draft("writer")])
    assert (without.verb, without.agent.spec.document) == ("updated", {})
    assert without.before is not None
    assert without.before.spec.document == TOOLS


async def test_an_execution_goes_on_with_the_definition_that_it_began_with(store: Store) -> None:
    id_ = await running(store)
    assert await store.agent_versions.read(id_) is None
    first = replace(agent_draft("writer"), spec=AgentSpec(instructions="write", model="echo", document=TOOLS))
    [applied] = await store.agents.apply([first])
    assert await store.agent_versions.pin(id_, applied.agent) == first.spec
    [changed] = await store.agents.apply([replace(first, spec=replace(first.spec, instructions="read"))])
    assert await store.agent_versions.pin(id_, changed.agent) == first.spec
    assert await store.agent_versions.read(id_) == first.spec
    assert (await store.executions.get(id_)).is_pinned
    other = await running(store)
    assert (await store.agent_versions.pin(other, changed.agent)).instructions == "read"


async def test_a_resume_goes_on_with_the_agent_as_it_is_now_where_recorded_turns_fit_it(store: Store) -> None:
    first = replace(
        agent_draft("writer", number=int(AGENT[4:])), spec=AgentSpec(instructions="write", model="echo", document=TOOLS)
    )
    mended = replace(first.spec, model="better", document={"tools": [{"mcp": {"command": ["serve", "--well"]}}]})
    other = replace(mended, instructions="read")
    without = replace(first.spec, document={})
    shaped = replace(first.spec, document={**TOOLS, "output": {"type": "object"}})
    for changed, goes_on_with in (
        (mended, mended),
        (other, first.spec),
        (without, first.spec),
        (shaped, first.spec),
    ):
        [applied] = await store.agents.apply([first])
        id_ = await running(store)
        await store.agent_versions.pin(id_, applied.agent)
        await store.agents.apply([replace(first, spec=changed)])
        assert await store.agent_versions.read(id_) == first.spec, "an apply changes nothing of it"
        await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.FAILED, error="no"))
        assert (await store.resuming.resume(id_, Decision())).outcome is ResumeOutcome.RESUMED
        assert await store.agent_versions.read(id_) == goes_on_with


async def test_limits_of_one_execution_are_its_own_and_outlast_a_mended_agent(store: Store) -> None:
    usual = {"limits": {"turns": 5, "tokens": 100}}
    first = replace(agent_draft("writer", number=int(AGENT[4:])), spec=AgentSpec(model="echo", document=usual))
    await store.agents.apply([first])
    drafted = replace(draft(), limits={"tokens": 7, "money": 0.5})
    await store.executions.accept(drafted, reason=QueueReason.ACCEPTED, detail="")
    pinned = await store.agent_versions.read(drafted.id)
    assert pinned is not None
    assert pinned.document["limits"] == {"turns": 5, "tokens": 7, "money": 0.5}
    await mark_submitted(store, drafted.id, epoch=1, run_id=RUN, cluster="w", already=False)
    await claim(store, drafted.id, epoch=1, run=RUN, runner="mill")
    await store.runs.begin_attempt(drafted.id, epoch=1, run=RUN, attempt=1, runner="mill")
    await store.agents.apply([replace(first, spec=replace(first.spec, document={"limits": {"turns": 9}}))])
    await store.runs.finish(drafted.id, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.FAILED, error="no"))
    assert (await store.resuming.resume(drafted.id, Decision())).outcome is ResumeOutcome.RESUMED
    mended = await store.agent_versions.read(drafted.id)
    assert mended is not None
    assert mended.document["limits"] == {"turns": 9, "tokens": 7, "money": 0.5}
    await mark_submitted(store, drafted.id, epoch=2, run_id=RUN, cluster="w", already=False)
    await claim(store, drafted.id, epoch=2, run=RUN, runner="mill")
    await store.runs.finish(drafted.id, epoch=2, run=RUN, attempt=1, outcome=Outcome(phase=Phase.FAILED, error="no"))
    await store.agents.delete("writer")
    await store.resuming.resume(drafted.id, Decision(limits={"tokens": 70}))
    raised = await store.agent_versions.read(drafted.id)
    assert raised is not None
    assert raised.document["limits"] == {"turns": 9, "tokens": 70, "money": 0.5}


async def test_what_is_printed_where_a_price_is_not_known_goes_on(store: Store) -> None:
    first = replace(agent_draft("writer", number=int(AGENT[4:])), spec=AgentSpec(document={"limits": {"money": 0.5}}))
    [applied] = await store.agents.apply([first])
    id_ = await running(store)

    async def make_budget() -> Budget:
        pinned = await store.agent_versions.pin(id_, applied.agent)
        used = UsedBody.model_validate({"model": "openai:m", "turns": 1})
        return Budget(LoopSpec.model_validate(pinned.document).limits, used, clock=store.clock)

    with pytest.raises(LimitReached) as reached:
        (await make_budget()).admit_turn()
    typed = re.search(r"--limit (\S+)", reached.value.message)
    assert typed is not None
    limits, lifted = split_limits([typed[1]])
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=Outcome(phase=Phase.FAILED, error="no"))
    for decision in (Decision(limits=dict.fromkeys(lifted)), Decision()):
        assert limits is None
        assert (await store.resuming.resume(id_, decision)).outcome is ResumeOutcome.RESUMED
        (await make_budget()).admit_turn()
        epoch = (await store.executions.get(id_)).epoch
        await mark_submitted(store, id_, epoch=epoch, run_id=RUN, cluster="w", already=False)
        await claim(store, id_, epoch=epoch, run=RUN, runner="mill")
        await store.runs.begin_attempt(id_, epoch=epoch, run=RUN, attempt=1, runner="mill")
        failed = Outcome(phase=Phase.FAILED, error="no")
        await store.runs.finish(id_, epoch=epoch, run=RUN, attempt=1, outcome=failed)
