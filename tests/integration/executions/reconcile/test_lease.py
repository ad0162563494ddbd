"""One reconcile at a time per store, also after its holder was killed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import Conflict
from stigmer_cli.executions.reconcile.lease import LEASE_S, hold_lease
from stigmer_cli.store.store import Store, open_store
from tests.support.fakes import ManualClock


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    one = await open_store(f"sqlite:///{tmp_path}/stigmer.db", clock=SystemClock())
    try:
        yield one
    finally:
        await one.close()


async def test_a_second_caller_learns_who_holds_it_and_since_when(store: Store) -> None:
    clock = ManualClock()
    async with hold_lease(store, holder="ann", clock=clock):
        with pytest.raises(Conflict, match=r"ann has been reconciling since 2026-05-04T12:00:00\.000Z"):
            async with hold_lease(store, holder="bob", clock=clock):
                pass
    async with hold_lease(store, holder="bob", clock=clock):
        pass


async def test_a_holder_that_was_killed_keeps_others_waiting_for_its_lease_only(store: Store) -> None:
    clock = ManualClock()
    killed = hold_lease(store, holder="ann", clock=clock)
    await killed.__aenter__()  # and never left
    await clock.advance(LEASE_S - 1)
    with pytest.raises(Conflict):
        await hold_lease(store, holder="bob", clock=clock).__aenter__()
    await clock.advance(2)
    async with hold_lease(store, holder="bob", clock=clock):
        pass


async def test_a_holder_that_renews_keeps_its_lease(store: Store) -> None:
    clock = ManualClock()
    async with hold_lease(store, holder="ann", clock=clock) as mine:
        for _ in range(10):
            await clock.advance(LEASE_S * 0.6)
            await mine.renew()
            with pytest.raises(Conflict):
                await hold_lease(store, holder="bob", clock=clock).__aenter__()


async def test_a_clock_step_neither_ends_a_lease_nor_makes_it_endless(store: Store) -> None:
    clock = ManualClock()
    killed = hold_lease(store, holder="ann", clock=clock)
    mine = await killed.__aenter__()
    clock.set(3600)
    with pytest.raises(Conflict):
        await hold_lease(store, holder="bob", clock=clock).__aenter__()
    await clock.advance(LEASE_S - 1)
    await mine.renew()
    clock.set(-7200)
    await clock.advance(LEASE_S + 1)
    async with hold_lease(store, holder="bob", clock=clock):
        pass


async def test_a_holder_that_slept_through_its_lease_does_not_go_on(store: Store) -> None:
    clock = ManualClock()
    async with hold_lease(store, holder="ann", clock=clock) as mine:
        await clock.advance(LEASE_S + 1)
        async with hold_lease(store, holder="bob", clock=clock):
            with pytest.raises(Conflict, match="another took its place"):
                await mine.renew()
