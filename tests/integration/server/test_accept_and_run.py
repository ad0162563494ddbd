"""The server on a real Temporal and a real file: accept, submit, claim, report."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from stigmer_cli.api.query import Query
from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.domain.dispatch_state import DispatchState
from stigmer_cli.domain.execution import EventType, QueueReason, TokenUsage
from stigmer_cli.domain.identity import StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict, NotFound, RequestError, StoreBusy, TemporalUnavailable
from stigmer_cli.run_reports import RunReports
from tests.support.blocked_loops import refuse_blocks
from tests.support.ids import workflow
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, accept, make_agent, served
from tests.support.temporal_server import DevServer, dev_server, free_port

LINE_SEPARATORS = ("\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
"""Where `str.splitlines` splits."""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory, temporal: DevServer) -> AsyncIterator[Served]:
    home = tmp_path_factory.mktemp("server")
    async with served(home, temporal.address) as one:
        await one.until()
        async with one.client() as client:
            await make_agent(client)
        yield one
    refuse_blocks(home)


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: Served) -> AsyncIterator[Client]:
    async with server.client() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server whose Temporal is not there."""
    home = tmp_path_factory.mktemp("alone")
    async with served(home, f"127.0.0.1:{free_port()}") as one:
        await one.until("DISCONNECTED")
        async with one.client() as client:
            await make_agent(client)
        yield one
    refuse_blocks(home)


def _key() -> str:
    """An idempotency key that no other test has used."""
    return str(uuid.uuid4())


async def _submitted_at_once(client: Client) -> ExecutionResource | None:
    """One whose acceptance was answered with its run; a busy machine may need longer than the answer waits."""
    execution = await accept(client, _key())
    return execution if execution.status.dispatch.run_id else None


async def _submitted(client: Client, agent: str = "greeter") -> ExecutionResource:
    """One that Temporal has, by the timeline too."""
    execution = await accept(client, _key(), agent=agent)

    async def with_run() -> ExecutionResource | None:
        found = await client.execution(execution.metadata.id)
        return found if found.status.dispatch.run_id else None

    return await eventually(with_run, within_s=15)


async def _claim(client: Client, execution: ExecutionResource, *, run: str) -> ClaimAnswer:
    dispatch = execution.status.dispatch
    return await RunReports(client).claim(
        execution.metadata.id,
        epoch=1,
        run=run,
        runner="runner-1",
        workflow=dispatch.workflow_id,
        first_run=dispatch.run_id or "",
    )


USED = TokenUsage(model="openai:m", input_tokens=7, output_tokens=2, details={"cache_read_tokens": 3})


async def _finish(client: Client, execution: ExecutionResource, *, run: str, output: str = "hi") -> bool:
    return await RunReports(client).finish(
        execution.metadata.id,
        epoch=1,
        run=run,
        attempt=1,
        phase=Phase.COMPLETED,
        output=output,
        error=None,
        usage=USED,
    )


async def test_a_healthy_server_answers_with_the_run_id(client: Client) -> None:
    execution = await eventually(lambda: _submitted_at_once(client), within_s=15)
    assert execution.status.phase is Phase.PENDING
    assert execution.status.dispatch.state is DispatchState.SUBMITTED
    assert execution.status.dispatch.run_id
    store = (await client.identity()).store_id
    assert execution.status.dispatch.workflow_id == workflow(execution.metadata.id, store=StoreId(store)).id


async def test_the_same_key_finds_the_same_execution_and_another_wish_is_refused(client: Client) -> None:
    key = _key()
    first, second = await accept(client, key), await accept(client, key)
    assert first.metadata.id == second.metadata.id
    with pytest.raises(Conflict):
        await accept(client, key, message="something else")


async def test_a_run_claims_reports_and_completes(client: Client) -> None:
    execution = await _submitted(client)
    name = execution.metadata.id
    assert await _claim(client, execution, run="run-a") is ClaimAnswer.WON
    assert await _claim(client, execution, run="run-b") is ClaimAnswer.LOST, "another run must lose"
    work = await RunReports(client).begin_attempt(name, epoch=1, run="run-a", attempt=1, runner="runner-1")
    assert work is not None
    assert (work.message, work.model) == ("hello", "echo")
    for offset, text in ((0, "hi "), (3, "there"), (3, "there")):
        assert await RunReports(client).append_message(
            name, epoch=1, run="run-a", attempt=1, index=0, offset=offset, role="assistant", text=text
        )
    assert not await _finish(client, execution, run="run-b"), "a run without the claim must be refused"
    assert await _finish(client, execution, run="run-a")
    done = await client.execution(name)
    assert done.status.phase is Phase.COMPLETED
    assert [(message.role, message.content) for message in done.status.messages] == [("assistant", "hi there")]
    assert [event.type for event in await client.events(name)] == [
        EventType.ACCEPTED,
        EventType.SUBMITTED,
        EventType.CLAIMED,
        EventType.MESSAGE,
        EventType.MESSAGE,
        EventType.COMPLETED,
    ]


async def test_a_follower_sees_every_event_once_whenever_it_comes(client: Client) -> None:
    execution = await _submitted(client)
    name = execution.metadata.id

    async def follow(after: int) -> list[int]:
        return [event.seq async for event in client.follow(name, after=after)]

    async with asyncio.TaskGroup() as group:
        early = group.create_task(follow(0), name="early")
        await _claim(client, execution, run="run-a")
        middle = group.create_task(follow(2), name="middle")
        await RunReports(client).begin_attempt(name, epoch=1, run="run-a", attempt=1, runner="r")
        for offset in range(50):
            await RunReports(client).append_message(
                name, epoch=1, run="run-a", attempt=1, index=0, offset=offset, role="assistant", text="x"
            )
        await _finish(client, execution, run="run-a")
    last = 2 + 1 + 50 + 1
    assert early.result() == list(range(1, last + 1))
    assert middle.result() == list(range(3, last + 1))
    assert await follow(last) == []


async def test_an_event_with_every_line_separator_of_unicode_is_one_line_of_the_stream(client: Client) -> None:
    execution = await _submitted(client)
    name, text = execution.metadata.id, "".join(f"{separator}x" for separator in LINE_SEPARATORS)
    await _claim(client, execution, run="run-a")
    await RunReports(client).begin_attempt(name, epoch=1, run="run-a", attempt=1, runner="r")
    await RunReports(client).append_message(
        name, epoch=1, run="run-a", attempt=1, index=0, offset=0, role="assistant", text=text
    )
    await _finish(client, execution, run="run-a", output=text)
    shown = [event.data["text"] async for event in client.follow(name) if event.type is EventType.MESSAGE]
    assert shown == [text]
    assert (await client.execution(name)).status.output == text


async def test_the_tokens_of_all_attempts_are_in_the_execution_and_in_the_list(client: Client) -> None:
    execution = await _submitted(client)
    name = execution.metadata.id
    await _claim(client, execution, run="run-a")
    await RunReports(client).begin_attempt(name, epoch=1, run="run-a", attempt=1, runner="r")
    assert await RunReports(client).add_usage(name, epoch=1, run="run-a", attempt=1, usage=USED)
    await RunReports(client).begin_attempt(name, epoch=1, run="run-a", attempt=2, runner="r")
    await RunReports(client).finish(
        name, epoch=1, run="run-a", attempt=2, phase=Phase.FAILED, output=None, error="cut", usage=USED
    )
    found = (await client.execution(name)).to_wire()
    listed = (await client.list_executions(Query(), limit=1)).items[0].to_wire()
    for one in (found, listed):
        assert one["status"]["usage"] == {  # type: ignore[index]
            "model": "openai:m",
            "inputTokens": 14,
            "outputTokens": 4,
            "details": {"cache_read_tokens": 6},
            "cost": None,
            "turns": 0,
            "toolCalls": 0,
            "seconds": 0.0,
        }


async def test_the_usage_of_executions_is_summed_by_agent_and_model(client: Client) -> None:
    await make_agent(client, "spender")
    for cost in (0.25, None):
        execution = await _submitted(client, "spender")
        name = execution.metadata.id
        await _claim(client, execution, run="run-a")
        await RunReports(client).begin_attempt(name, epoch=1, run="run-a", attempt=1, runner="r")
        used = replace(USED, cost=cost)
        await RunReports(client).add_usage(name, epoch=1, run="run-a", attempt=1, usage=used)
    sums = {
        "executions": 2,
        "inputTokens": 14,
        "outputTokens": 4,
        "turns": 0,
        "toolCalls": 0,
        "cost": 0.25,
        "unpriced": 1,
    }
    found = await client.usage(since=None, until=None, agent="spender")
    assert found.to_wire() == {
        "since": None,
        "until": None,
        "items": [{"agent": "spender", "model": "openai:m", **sums}],
        "total": sums,
        "truncated": False,
    }
    with pytest.raises(NotFound):
        await client.usage(since=None, until=None, agent="nobody")


async def test_without_temporal_an_execution_is_accepted_and_says_what_it_waits_for(alone: Served) -> None:
    async with alone.client() as client:
        execution = await accept(client, _key())
        dispatch = execution.status.dispatch
        assert dispatch.state is DispatchState.QUEUED
        assert dispatch.reason in (QueueReason.TEMPORAL_UNREACHABLE, QueueReason.TEMPORAL_CONNECTING)
        assert "connection refused" in dispatch.detail
        health = await client.health()
        assert health.state == "degraded"
        assert health.temporal.cause == "connection refused"
        assert await client.ready(), "a server without Temporal accepts"


async def test_the_queue_reason_follows_what_is_wrong_now(alone: Served) -> None:
    async with alone.client() as client:
        execution = await accept(client, _key())
        found = await client.execution(execution.metadata.id)
        assert found.status.dispatch.next_try_at is not None
        assert found.status.dispatch.since >= found.metadata.created_at


async def test_fail_fast_refuses_with_when_to_come_back_and_writes_nothing(alone: Served) -> None:
    async with alone.client() as client:
        before = (await client.executions(Query())).items
        with pytest.raises(TemporalUnavailable, match="nothing was written"):
            await accept(client, _key(), require_temporal=True)
        assert (await client.executions(Query())).items == before
    async with httpx.AsyncClient(base_url=alone.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        response = await http.post(
            "/v1/executions", params={"require": "temporal"}, json={"agent": "greeter", "message": "x"}
        )
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["code"] == "temporal-unavailable"


async def test_an_accepted_answer_is_202_while_it_waits_and_201_once_it_runs(alone: Served, server: Served) -> None:
    async def code(one: Served) -> int:
        async with httpx.AsyncClient(base_url=one.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            return (await http.post("/v1/executions", json={"agent": "greeter", "message": "x"})).status_code

    async def is_created() -> bool:
        return await code(server) == 201

    assert await code(alone) == 202
    await eventually(is_created, within_s=15)


async def test_a_queued_execution_runs_as_soon_as_temporal_comes(tmp_path: Path) -> None:
    temporal = DevServer(tmp_path)
    with temporal:
        async with served(tmp_path, temporal.address) as server, server.client() as client:
            await make_agent(client)
            execution = await accept(client, "k1")
            assert execution.status.dispatch.run_id is None
            temporal.start()

            async def run_id() -> str | None:
                return (await client.execution(execution.metadata.id)).status.dispatch.run_id

            await eventually(run_id, within_s=10)


async def test_an_execution_that_never_started_is_cancelled_at_once(alone: Served) -> None:
    async with alone.client() as client:
        execution = await accept(client, _key())
        cancelled = await client.cancel_execution(execution.metadata.id)
        assert cancelled.status.phase is Phase.CANCELLED
        assert cancelled.status.dispatch.state is DispatchState.WITHDRAWN


async def test_a_killed_server_has_every_execution_that_it_acknowledged(tmp_path: Path) -> None:
    server = Served(tmp_path, f"127.0.0.1:{free_port()}")
    try:
        await server.start()
        async with server.client() as client:
            await make_agent(client)
            acknowledged = {(await accept(client, f"k{n}")).metadata.id for n in range(20)}
        server.kill()
        await server.start()
        async with server.client() as client:
            found = {item.metadata.id for item in (await client.executions(Query(limit=100))).items}
    finally:
        server.kill()
    assert found == acknowledged


async def test_sigterm_ends_the_server_with_zero(tmp_path: Path) -> None:
    server = Served(tmp_path, f"127.0.0.1:{free_port()}")
    try:
        await server.start()
        assert server.terminate() == 0
    finally:
        server.kill()


async def test_a_second_server_on_the_same_file_is_refused_with_the_holders_pid(alone: Served) -> None:
    second = Served(alone.home, "127.0.0.1:1")
    second.log = alone.home / "second.log"
    try:
        second.spawn()
        assert second.process is not None
        assert alone.process is not None
        assert second.process.wait(timeout=20) == 3
        assert f"in use by pid {alone.process.pid}" in second.log.read_text()
    finally:
        second.kill()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"agent": "greeter"}, "body.message: Field required"),
        ({"agent": "greeter", "message": "x", "extra": 1}, "body.extra: Extra inputs are not permitted"),
        ({"agent": "greeter", "message": "x", "timeoutS": -1}, "body.timeoutS: Input should be greater than 0"),
        ({"agent": "greeter", "message": "x" * 1_000_001}, "body.message: String should have at most 1000000 char"),
    ],
)
async def test_a_wrong_request_names_the_field(alone: Served, body: dict[str, object], sentence: str) -> None:
    async with httpx.AsyncClient(base_url=alone.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        response = await http.post("/v1/executions", json=body)
    assert response.status_code == 400
    assert response.json()["detail"].startswith(sentence)


@pytest.mark.parametrize("message", ["nul\x00nul", "\ud800 alone"])
async def test_text_that_no_database_takes_is_a_request_error(alone: Served, message: str) -> None:
    async with httpx.AsyncClient(base_url=alone.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        content = json.dumps({"agent": "greeter", "message": message}).encode()
        response = await http.post("/v1/executions", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400


async def test_what_is_not_there_is_not_found(alone: Served) -> None:
    async with alone.client() as client:
        with pytest.raises(NotFound):
            await client.execution("aex-00000000000000000000000000")
        with pytest.raises(NotFound):
            await client.agent("nobody")
        with pytest.raises(RequestError):
            await client.executions(Query(limit=0))


async def test_agents_are_applied_all_or_none_and_paged(alone: Served) -> None:
    async with alone.client() as client:
        for name in ("a", "b", "c"):
            await make_agent(client, name)
        page = await client.agents(limit=2)
        rest = await client.agents(limit=2, cursor=page.next_cursor)
        assert [item.metadata.slug for item in (*page.items, *rest.items)] == ["a", "b", "c", "greeter"]
        assert (await client.agent("a")).spec.description == "greets"
        with pytest.raises(RequestError, match="no letter or digit"):
            await make_agent(client, "???")
        await accept(client, _key())
        with pytest.raises(Conflict):
            await client.delete_agent("greeter")
        await client.delete_agent("a")
        with pytest.raises(NotFound):
            await client.agent("a")


async def test_the_server_outlives_a_database_that_somebody_else_holds(alone: Served) -> None:
    file = alone.home / "data" / "stigmer.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        async with alone.client() as client:
            with pytest.raises(StoreBusy):
                await accept(client, _key())
            holder.execute("ROLLBACK")
            execution = await accept(client, _key())
    assert execution.status.phase is Phase.PENDING
    assert alone.process is not None
    assert alone.process.poll() is None


async def test_a_loop_that_dies_takes_the_http_server_with_it(tmp_path: Path, temporal: DevServer) -> None:
    """A server that answered 200 while nothing is dispatched any more would be the founding bug again."""
    async with served(tmp_path, temporal.address) as server:
        await server.until()
        assert server.process is not None
        with closing(sqlite3.connect(tmp_path / "data" / "stigmer.db", isolation_level=None)) as saboteur:
            saboteur.execute("ALTER TABLE executions RENAME TO gone")

        async def has_ended() -> bool:
            return server.process is not None and server.process.poll() is not None

        await eventually(has_ended, within_s=15)
        assert server.process.returncode not in (0, None)
