"""A short reference finds its execution, and never another one."""

import pytest

from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.errors import Ambiguous, NotFound, RequestError
from stigmer_cli.executions.resolve import resolve_reference
from stigmer_cli.store import references
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import RealSleepClock, Stage, accepted, agent_draft, bring_to, draft

FIRST = "aex-01m8a17qxd736wey2ggsdc1wpt"
SECOND = "aex-01m8a17r00000000000000abcd"
FLOW = "wex-01m8a20000000000000000wpt1"


async def _accept(store: Store, name: str) -> None:
    row = ExecutionDraft(
        id=ExecutionId(name),
        kind=Kind.WORKFLOW if name.startswith("wex") else Kind.AGENT,
        agent_id=draft().agent_id,
        agent_name="writer",
        message="long",
    )
    await store.executions.accept(row, reason=QueueReason.ACCEPTED, detail="")


@pytest.fixture
async def filled(store: Store, clock: RealSleepClock) -> Store:
    for name in (FIRST, SECOND, FLOW):
        await _accept(store, name)
        clock.move(60)
    return store


async def test_a_reference_finds_the_one_that_it_fits(filled: Store, clock: RealSleepClock) -> None:
    for text, found in {
        "1wpt": FIRST,
        "wey2ggsdc1wpt": FIRST,
        "ABCD": SECOND,
        "aex-01m8a17q": FIRST,
        "01m8a17r": SECOND,
        "wex-01m8": FLOW,
        "wpt1": FLOW,
        FIRST: FIRST,
        FIRST.removeprefix("aex-"): FIRST,
        "@last": FLOW,
    }.items():
        assert (text, (await resolve_reference(filled, text, clock)).id) == (text, found)


async def test_several_that_fit_are_named_newest_first_with_agent_and_age(filled: Store, clock: RealSleepClock) -> None:
    with pytest.raises(Ambiguous) as refused:
        await resolve_reference(filled, "01m8a17", clock)
    assert [one["id"] for one in refused.value.candidates] == [SECOND, FIRST]
    assert refused.value.message.splitlines() == [
        "'01m8a17' fits 2 executions:",
        f"  {SECOND}  writer, PENDING, 2m ago",
        f"  {FIRST}  writer, PENDING, 3m ago",
    ]


async def test_no_more_than_five_are_named(store: Store, clock: RealSleepClock) -> None:
    for number in range(9):
        await _accept(store, f"aex-0000000000000000000000000{number}")
    with pytest.raises(RequestError) as refused:
        await resolve_reference(store, "00000", clock)
    first, *named = refused.value.message.splitlines()
    assert first == "'00000' fits more than 5 executions:"
    assert len(named) == 5


async def test_one_that_fits_none_is_not_found(filled: Store, clock: RealSleepClock) -> None:
    for text in ("zzzz", "aex-1wpt", "wex-01m8a17", "@last-failed", "@last:nobody"):
        with pytest.raises(NotFound):
            await resolve_reference(filled, text, clock)


async def test_the_end_of_an_id_is_looked_for_among_the_newest_only(
    filled: Store, clock: RealSleepClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "ENDS_AMONG", 2)
    assert (await resolve_reference(filled, "abcd", clock)).id == SECOND
    with pytest.raises(NotFound, match="none of the newest"):
        await resolve_reference(filled, "1wpt", clock)
    assert (await resolve_reference(filled, "01m8a17q", clock)).id == FIRST


async def test_the_newest_of_an_agent_and_the_newest_that_failed(store: Store, clock: RealSleepClock) -> None:
    await store.agents.apply([agent_draft("writer")])
    failed = (await bring_to(store, Stage.FAILED)).id
    clock.move(1)
    newest = await accepted(store)
    assert (await resolve_reference(store, "@last-failed", clock)).id == failed
    assert (await resolve_reference(store, "@last-failed:writer", clock)).id == failed
    assert (await resolve_reference(store, "@last:writer", clock)).id == newest
