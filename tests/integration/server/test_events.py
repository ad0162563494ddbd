"""Events through a real server: taken once in each mode, kept over a kill, and listed by the command."""

import json
from pathlib import Path

import httpx
import pytest

from stigmer_cli.api.cloud_events import ListenRequest, ListenResponse, QueryBody
from stigmer_cli.errors import RequestError
from tests.support.running_server import TOKEN, Served, accept, make_agent, served
from tests.support.temporal_server import free_port

BEARER = {"authorization": f"Bearer {TOKEN}"}
ATTRIBUTES = {"ce-specversion": "1.0", "ce-id": "81", "ce-source": "/github", "ce-type": "review"}
EVENT = {"specversion": "1.0", "id": "81", "source": "/github", "type": "review", "data": {"pr": 5}}


async def post(server: Served, headers: dict[str, str], content: bytes) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
        return await http.post("/v1/events", content=content)


async def test_an_event_is_kept_once_whatever_comes_in_between(tmp_path: Path) -> None:
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server:
        assert (await post(server, ATTRIBUTES, b"")).status_code == 401
        first = await post(server, BEARER | ATTRIBUTES | {"content-type": "application/json"}, b'{"pr":5}')
        taken = [{"id": "81", "source": "/github", "isNew": True}]
        assert first.json() == {"items": taken, "goingOn": 0, "started": 0}
        server.kill()
        await server.start()
        again = await post(
            server, BEARER | {"content-type": "application/cloudevents+json"}, json.dumps(EVENT).encode()
        )
        assert again.json()["items"][0]["isNew"] is False
        wrong = await post(server, BEARER | {"content-type": "text/plain"}, b"hello")
        assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid-request")
        async with server.client() as client:
            sent = await client.publish_events([{**EVENT, "id": f"{n}", "type": "order"} for n in (1, 2, 1)])
            assert [one.is_new for one in sent.items] == [True, True, False]
            page = await client.events_kept(limit=2)
            assert ([one.event["id"] for one in page.items], page.next_before) == (["2", "1"], 2)
            [only] = (await client.events_kept(limit=5, type_="review")).items
            assert only.event == {**EVENT, "datacontenttype": "application/json"}
            with pytest.raises(RequestError, match="specversion '2'"):
                await client.publish_events([{**EVENT, "specversion": "2"}])
            await make_agent(client)
            id_ = (await accept(client, "a-key")).metadata.id
            await client.publish_events([{**EVENT, "id": "83"}])
            asked = ListenRequest(queries=[QueryBody(type="review")])
            found = await client.report(id_, "listen", asked, ListenResponse)
            assert [(one.seq, one.event["id"]) for one in found.events] == [(4, "83")]
