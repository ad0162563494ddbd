"""A runner whose server is gone, refuses it, or is of another store takes nothing away from those that are well."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from stigmer_cli.api.query import Query
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.identity import StoreId, task_queue_of
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.slots import ACTIVITIES_MAX
from stigmer_cli.runner_record import RunnerRecord, read_runner_records
from stigmer_cli.settings import Home
from tests.integration.runner.conftest import STARTED_MAX_S, RunnerProcess
from tests.support import postgres
from tests.support.freezing import freeze
from tests.support.machine_load import slack
from tests.support.model_endpoint import Endpoint
from tests.support.polling import eventually, until_true
from tests.support.running_server import TOKEN, Served, accept, make_agent, served
from tests.support.temporal_server import DevServer

DONE_MAX_S = 10.0
STOPS_POLLING_MAX_S = 3.0
"""Two seconds without an answer, and what the test needs to see it."""

NUMBER = 40
PACE_S = 0.1
"""So that the runner stops polling in the middle of them: what it is handed at that moment must not be lost."""


@pytest.fixture
def database() -> Iterator[str]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as cluster, cluster.database() as url:
        yield url


@pytest.fixture
def temporal(tmp_path: Path) -> Iterator[DevServer]:
    with DevServer(tmp_path, file=tmp_path / "temporal.db") as server:
        server.start()
        yield server


@dataclass
class Site:
    """A server with a home of its own, and runners that talk to it."""

    server: Served
    temporal: DevServer
    runners: list[RunnerProcess]

    @property
    def home(self) -> Home:
        return Home(path=self.server.home)

    def runner(self, *, token: str = TOKEN, url: str | None = None) -> RunnerProcess:
        """Start a runner that knows the server by `url`, and shows `token`."""
        runner = RunnerProcess(
            self.server.home, self.temporal.address, url or self.server.url, len(self.runners), token=token
        )
        self.runners.append(runner)
        return runner

    def record(self, runner: RunnerProcess) -> RunnerRecord | None:
        """What `runner` says of itself."""
        found = [one for one in read_runner_records(self.home) if one.pid == runner.process.pid]
        return found[0] if found else None

    def is_in(self, runner: RunnerProcess, state: str) -> bool:
        record = self.record(runner)
        return record is not None and record.state == state


@asynccontextmanager
async def site(folder: Path, temporal: DevServer, settings: dict[str, str] | None = None) -> AsyncIterator[Site]:
    async with served(_folder(folder.parent, folder.name), temporal.address, settings) as server:
        await server.until()
        place = Site(server=server, temporal=temporal, runners=[])
        try:
            yield place
        finally:
            for runner in place.runners:
                runner.kill()


def _folder(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir(exist_ok=True)
    return path


async def seen(*runners: RunnerProcess) -> None:
    """Return when Temporal shows a worker of each."""
    await until_true(lambda: all(one.says("worker_seen") for one in runners), within_s=STARTED_MAX_S)


async def all_done(client: Client, names: Sequence[str], *, within_s: float) -> float:
    """How long it took until all of `names` were COMPLETED."""
    begun = time.monotonic()

    async def done() -> bool:
        found = {one.metadata.id: one.status.phase for one in (await client.list_executions(Query(), limit=200)).items}
        return all(found.get(name) is Phase.COMPLETED for name in names)

    await eventually(done, within_s=within_s, what="all COMPLETED")
    return time.monotonic() - begun


async def submitted(client: Client, number: int, *, pace_s: float = 0.0) -> list[str]:
    """`number` executions, one after the other, with `pace_s` seconds in between."""
    names = []
    for one in range(number):
        names.append((await accept(client, f"k{one}")).metadata.id)
        await asyncio.sleep(pace_s)
    return names


@asynccontextmanager
async def two_sites(tmp_path: Path, temporal: DevServer, database: str) -> AsyncIterator[tuple[Site, Site]]:
    """Two servers of one store."""
    settings = {"STIGMER_DATABASE_URL": database}
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(site(tmp_path / "one", temporal, settings))
        two = await stack.enter_async_context(site(tmp_path / "two", temporal, settings))
        yield one, two


async def test_what_living_servers_accept_is_done_though_the_server_of_a_runner_died(
    tmp_path: Path, temporal: DevServer, database: str
) -> None:
    async with two_sites(tmp_path, temporal, database) as (dies, lives), lives.server.client() as client:
        await make_agent(client)
        orphan, well = dies.runner(), lives.runner()
        await seen(orphan, well)
        dies.server.kill()
        names = await submitted(client, NUMBER, pace_s=PACE_S)
        took_s = await all_done(client, names, within_s=DONE_MAX_S * slack())
        print(f"{NUMBER} done {took_s:.1f} s after the last was accepted")
        await until_true(lambda: dies.is_in(orphan, "silent"), within_s=STARTED_MAX_S)
        record = dies.record(orphan)
        assert record is not None
        assert record.cause == f"the server at {dies.server.url} cannot be reached (connection refused)"
        assert orphan.says("worker_without_server")


async def test_a_runner_with_a_wrong_token_never_takes_anything_up(tmp_path: Path, temporal: DevServer) -> None:
    async with site(tmp_path / "one", temporal) as place, place.server.client() as client:
        await make_agent(client)
        wrong = place.runner(token="stolen")
        await until_true(lambda: place.is_in(wrong, "refused"), within_s=STARTED_MAX_S)
        well = place.runner()
        await seen(well)
        names = await submitted(client, 20)
        took_s = await all_done(client, names, within_s=DONE_MAX_S * slack())
        print(f"20 done after {took_s:.1f} s")
        assert not wrong.says("worker_started")
        assert [line["event"] for line in wrong.events()].count("runner_waiting") == 1, "it is said once"


async def test_a_runner_whose_token_is_refused_stops_polling_and_goes_on_with_the_right_one(
    tmp_path: Path, temporal: DevServer
) -> None:
    elsewhere = Home(path=tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    async with site(tmp_path / "one", temporal) as place, place.server.client() as client:
        await make_agent(client)
        elsewhere.token_file.write_text(f"{TOKEN}\n")
        runner = RunnerProcess(elsewhere.path, temporal.address, place.server.url, 0, token="")
        place.runners.append(runner)
        await seen(runner)
        elsewhere.token_file.write_text("old\n")
        took_s = await until_true(
            lambda: [one.state for one in read_runner_records(elsewhere)] == ["refused"], within_s=STARTED_MAX_S
        )
        print(f"stopped polling {took_s:.1f} s after its token was changed")
        assert took_s < STOPS_POLLING_MAX_S * slack()
        names = await submitted(client, 3)
        elsewhere.token_file.write_text(f"{TOKEN}\n")
        await all_done(client, names, within_s=DONE_MAX_S * slack())


async def test_a_runner_polls_only_for_the_store_of_its_server(tmp_path: Path, temporal: DevServer) -> None:
    async with (
        site(tmp_path / "one", temporal) as one,
        site(tmp_path / "two", temporal) as two,
        one.server.client() as here,
        two.server.client() as there,
    ):
        for client in (here, there):
            await make_agent(client)
        runner = one.runner()
        await seen(runner)
        mine, others = await submitted(here, 5), await submitted(there, 5)
        await all_done(here, mine, within_s=DONE_MAX_S * slack())
        found = {item.metadata.id: item.status.phase for item in (await there.executions(Query())).items}
        assert {found[name] for name in others} == {Phase.PENDING}
        await seen(two.runner())
        await all_done(there, others, within_s=DONE_MAX_S * slack())


async def test_a_server_of_another_store_in_its_place_retires_the_worker(tmp_path: Path, temporal: DevServer) -> None:
    async with site(tmp_path / "one", temporal) as one:
        runner = one.runner()
        await seen(runner)
        one.server.kill()
        two = Served(_folder(tmp_path, "two"), temporal.address, {"STIGMER_SERVER_PORT": str(one.server.port)})
        two.port = one.server.port
        try:
            await two.start()
            async with two.client() as client:
                await make_agent(client)
                names = await submitted(client, 5)
                await all_done(client, names, within_s=2 * DONE_MAX_S * slack())
                queue = task_queue_of(StoreId((await client.identity()).store_id))
        finally:
            two.kill()
        assert runner.says("server_of_another_store")
        assert queue in [line.get("task_queue") for line in runner.events() if line["event"] == "worker_started"]


async def test_a_runner_without_a_server_dials_nothing_and_says_what_it_waits_for(tmp_path: Path) -> None:
    home = tmp_path / "empty"
    home.mkdir()
    runner = RunnerProcess(home, "", "http://127.0.0.1:1", 0)  # as in a shell that says nothing about a Temporal
    try:
        await until_true(
            lambda: [bool(one.cause) for one in read_runner_records(Home(path=home))] == [True], within_s=STARTED_MAX_S
        )
        (record,) = read_runner_records(Home(path=home))
        assert (record.state, record.store) == ("asking", None)
        assert record.cause == "the server at http://127.0.0.1:1 cannot be reached (connection refused)"
        (told,) = [line for line in runner.events() if line["event"] == "runner_waiting"]
        assert (told["waits_for"], told["cause"]) == ("server", record.cause)
        assert not runner.says("temporal_connection_changed")
        runner.terminate()
        await until_true(lambda: runner.process.poll() is not None, within_s=5)
        assert not read_runner_records(Home(path=home))
    finally:
        runner.kill()


async def test_a_runner_on_another_temporal_than_its_server_does_not_poll_it(
    tmp_path: Path, temporal: DevServer
) -> None:
    (tmp_path / "other").mkdir()
    with DevServer(tmp_path / "other", file=tmp_path / "other" / "temporal.db") as other:
        other.start()
        async with site(tmp_path / "one", temporal) as place:
            place.temporal = other
            runner = place.runner()
            await until_true(lambda: place.is_in(runner, "mismatched"), within_s=STARTED_MAX_S)
            record = place.record(runner)
            assert record is not None
            assert record.cause == (
                f"the Temporal at {other.address} is not the one of this runner's server: set STIGMER_TEMPORAL_ADDRESS"
            )
            assert not runner.says("worker_started")


async def test_a_frozen_server_is_a_silent_one(tmp_path: Path, temporal: DevServer) -> None:
    async with site(tmp_path / "one", temporal) as place:
        runner = place.runner()
        await seen(runner)
        assert place.server.process is not None
        freeze(place.server.process.pid)
        took_s = await until_true(lambda: place.is_in(runner, "silent"), within_s=STARTED_MAX_S)
        place.server.process.send_signal(signal.SIGCONT)
        print(f"stopped polling {took_s:.1f} s after the server froze")
        assert took_s < STOPS_POLLING_MAX_S * slack()
        await until_true(lambda: place.is_in(runner, "served"), within_s=STARTED_MAX_S)
        async with place.server.client() as client:
            await make_agent(client)
            await all_done(client, await submitted(client, 3), within_s=DONE_MAX_S * slack())


@pytest.mark.slow
async def test_a_server_that_is_started_again_costs_no_attempt(tmp_path: Path, temporal: DevServer) -> None:
    """It is away for longer than an answer counts, and nobody else could take the work up."""
    async with site(tmp_path / "one", temporal) as place:
        runner = place.runner()
        await seen(runner)
        async with place.server.client() as client:
            await make_agent(client, model="echo:slow")
            execution = (await accept(client, "k", message="word " * 40)).metadata.id

            async def has_begun() -> bool:
                return bool((await client.execution(execution)).status.messages)

            await eventually(has_begun, within_s=STARTED_MAX_S)
        place.server.kill()
        await until_true(lambda: place.is_in(runner, "silent"), within_s=STARTED_MAX_S)
        await asyncio.sleep(4)  # longer than a performance waits where others are there
        await place.server.start()
        async with place.server.client() as client:
            await all_done(client, [execution], within_s=30)
            events = await client.events(execution)
        assert EventType.ATTEMPT not in [event.type for event in events], "there was no second one"
        assert not runner.says("work_handed_back")


@pytest.mark.slow
async def test_while_all_slots_are_busy_the_reason_says_so(
    tmp_path: Path, temporal: DevServer, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.words, endpoint.pause_s = ["late"], 600.0
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    async with site(tmp_path / "one", temporal) as place, place.server.client() as client:
        await make_agent(client, model="openai:silent")
        runner = place.runner()
        await seen(runner)
        for number in range(ACTIVITIES_MAX):
            await accept(client, f"k{number}")
        await until_true(lambda: runner.says("attempt_started", times=ACTIVITIES_MAX), within_s=STARTED_MAX_S)
        last = (await accept(client, "last")).metadata.id

        async def is_told() -> bool:
            found = await client.execution(last)
            full = f"all {ACTIVITIES_MAX} slots of the runner are busy"
            return full in found.status.dispatch.detail and found.stuck is not None and full in found.stuck.cause

        await eventually(is_told, within_s=30)
