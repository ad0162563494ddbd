"""Finding executions over HTTP: every parameter counts, pages go on, and a parameter that cannot be used is named."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.client import Client
from stigmer_cli.domain.phase import Phase
from tests.support.running_server import TOKEN, Served, make_agent, served

NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, NOWHERE) as found, found.client() as client:
        await make_agent(client)
        yield found


async def create(client: Client, message: str, labels: Mapping[str, str]) -> str:
    request = ExecutionRequest(agent="greeter", message=message, labels=dict(labels))
    made = await client.create_execution(request, idempotency_key=message, require_temporal=False)
    return made.metadata.id


async def found(client: Client, query: Query) -> list[str]:
    return [item.metadata.id for item in (await client.list_executions(query, limit=None)).items]


async def test_text_labels_and_times_select_and_are_counted(server: Served) -> None:
    async with server.client() as client:
        ids = [await create(client, f"deploy number{n}", {"n": str(n % 2)}) for n in range(5)]
        oldest = (await client.execution(ids[0])).metadata.created_at
        cases = {
            Query(search="DEPLOY number3"): [ids[3]],
            Query(search="deploy", labels=("n=1",)): [ids[3], ids[1]],
            Query(labels=("n",), phases=(Phase.PENDING,), agent="greeter"): ids[::-1],
            Query(search="deploy", phases=(Phase.COMPLETED,)): [],
            Query(since=oldest, until=oldest + timedelta(milliseconds=1)): [ids[0]],
            Query(until=oldest): [],
        }
        for query, expected in cases.items():
            assert (query, await found(client, query)) == (query, expected)
        page = await client.executions(Query(search="deploy", limit=2, is_counted=True))
        assert ([item.metadata.id for item in page.items], page.total) == ([ids[4], ids[3]], 5)
        rest = await client.executions(Query(search="deploy", cursor=page.next_cursor))
        assert [item.metadata.id for item in rest.items] == ids[2::-1]


REFUSED: Sequence[tuple[Mapping[str, str | list[str]], str]] = (
    ({"search": "?!"}, "search: '?!' has no word to search for"),
    ({"label": "=x"}, "label: '=x' is no label"),
    ({"since": "2026-01-01T00:00:00Z", "until": "2025-01-01T00:00:00Z"}, "nothing lies between since="),
    ({"since": "yesterday"}, "since"),
    ({"until": "2026-01-01T00:00:00"}, "until"),
    ({"label": ["x"] * 17}, "label"),
    ({"search": "a\0b"}, "NUL"),
)


async def test_a_parameter_that_cannot_be_used_is_named(server: Served) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        for query, detail in REFUSED:
            answer = await http.get("/v1/executions", params=query)
            assert (query, answer.status_code) == (query, 400)
            assert detail in answer.json()["detail"]
