"""Servers that share a store: each says who it is, and none goes on another Temporal than a living one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import ServerId
from stigmer_cli.errors import InUse
from stigmer_cli.server.registry import ServerRegistry
from stigmer_cli.store.servers import ServerRecord
from stigmer_cli.store.store import Store, open_store
from stigmer_cli.temporal.errors import Misconfigured
from tests.support import postgres
from tests.support.fakes import SwitchedLink
from tests.support.polling import eventually

ONE, OTHER = "cluster-1/namespace-1", "cluster-2/namespace-1"


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as running:
        yield running


@pytest.fixture
async def store(cluster: postgres.Cluster) -> AsyncIterator[Store]:
    with cluster.database() as url:
        async with await open_store(url, clock=SystemClock()) as opened:
            yield opened


def record(number: int) -> ServerRecord:
    return ServerRecord(
        id=ServerId(f"srv-{number:026d}"),
        version="1.2.3",
        host=f"host-{number}",
        pid=number,
        address=f"t-{number}:7233",
    )


def registry(store: Store, number: int, folder: Path, *, cluster: str = "cluster-1") -> ServerRegistry:
    made = ServerRegistry(store, record(number), clock=SystemClock(), request=folder / f"adopt-{number}")
    link = SwitchedLink()
    link.put(ConnectionState.CONNECTED, cluster=cluster)
    made.link = link
    return made


@asynccontextmanager
async def living(one: ServerRegistry) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(one.run())
        await eventually(lambda: _is_listed(one), within_s=5)
        try:
            yield
        finally:
            task.cancel()


async def _is_listed(one: ServerRegistry) -> bool:
    return bool(one.servers)


async def _refusal(one: ServerRegistry) -> InUse | None:
    try:
        await one.admit(OTHER)
    except Misconfigured:
        return None
    except InUse as error:
        return error
    pytest.fail("it was admitted")


async def test_a_server_is_refused_a_temporal_that_a_running_one_does_not_share_and_learns_which(
    store: Store, tmp_path: Path
) -> None:
    first, second = registry(store, 1, tmp_path), registry(store, 2, tmp_path, cluster="cluster-2")
    async with living(first):
        await second.admit(ONE)
        with pytest.raises(Misconfigured, match=r"pid 1 on host-1, version 1.2.3.*at t-1:7233"):
            await second.admit(OTHER)

        refusal = await eventually(lambda: _refusal(second), within_s=15)
        assert refusal.exit_code == 3
        assert "--adopt-temporal" in refusal.hint


async def test_a_server_that_left_keeps_nobody_away(store: Store, tmp_path: Path) -> None:
    first, second = registry(store, 1, tmp_path), registry(store, 2, tmp_path)
    async with living(first):
        pass
    await second.admit(OTHER)


async def test_a_server_that_lost_its_temporal_insists_on_nothing(store: Store, tmp_path: Path) -> None:
    first, second = registry(store, 1, tmp_path), registry(store, 2, tmp_path)
    async with living(first):
        assert isinstance(first.link, SwitchedLink)
        first.link.put(ConnectionState.DISCONNECTED)
        await first.run_once()
        await second.admit(OTHER)


async def test_of_two_that_went_apart_while_they_lived_the_later_one_ends(store: Store, tmp_path: Path) -> None:
    first, second = registry(store, 1, tmp_path), registry(store, 2, tmp_path)
    async with living(first):
        await second.run_once()
        assert isinstance(second.link, SwitchedLink)
        second.link.put(ConnectionState.CONNECTED, cluster="cluster-2")
        with pytest.raises(InUse):
            async with asyncio.timeout(20):
                await second.run()


async def test_who_adopts_a_temporal_is_admitted_and_the_others_end(store: Store, tmp_path: Path) -> None:
    first, second = registry(store, 1, tmp_path), registry(store, 2, tmp_path, cluster="cluster-2")
    await first.run_once()
    request = tmp_path / "adopt-2"
    request.touch()
    await second.admit(OTHER)
    assert not request.exists(), "asked for once"
    await second.run_once()
    with pytest.raises(InUse, match=f"server {record(2).id} has moved this store"):
        await first.run_once()
    await second.run_once()
