"""A create that comes again: the id that the client gave, one row, and the words for what is not the same request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from ulid import ULID

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.client import Client
from stigmer_cli.errors import Conflict, ServerBusy
from tests.support.running_server import TOKEN, Served, make_agent, served

NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, NOWHERE) as found, found.client() as client:
        await make_agent(client)
        yield found


def new_id() -> str:
    return f"aex-{str(ULID()).lower()}"


async def created(client: Client, name: str, key: str) -> str:
    request = ExecutionRequest(agent="greeter", message="hello", id=name)
    while True:
        with suppress(ServerBusy):  # a client tries again
            return (await client.create_execution(request, idempotency_key=key, require_temporal=False)).metadata.id
        await asyncio.sleep(0.1)


async def test_thirty_tries_at_once_make_the_one_execution_that_the_client_named(server: Served) -> None:
    name = new_id()
    async with server.client() as client:
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(created(client, name, name)) for _ in range(30)]
        assert {one.result() for one in tries} == {name}
        assert [item.metadata.id for item in (await client.executions(Query())).items] == [name]


async def test_the_key_counts_and_not_the_id_where_a_script_tries_again(server: Served) -> None:
    async with server.client() as client:
        first = await created(client, new_id(), "nightly")
        assert await created(client, new_id(), "nightly") == first
        with pytest.raises(Conflict, match=f"there is another execution {first}"):
            await created(client, first, "another key")
        assert len((await client.executions(Query())).items) == 1


async def test_an_id_that_is_none_of_ours_is_refused(server: Served) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        for name in ("aex-1", "wex-01m846f8afgxzx0thxqswsbpkc", "agt-01m846f8afgxzx0thxqswsbpkc", 7):
            answer = await http.post("/v1/executions", json={"agent": "greeter", "message": "m", "id": name})
            assert (name, answer.status_code, answer.json()["code"]) == (name, 400, "invalid-request")
