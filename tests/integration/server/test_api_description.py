"""The description of the API is made off the event loop: the fixture of this folder fails a test that blocks it."""

from pathlib import Path

import httpx

from tests.support.running_server import TOKEN, served

NOWHERE = "127.0.0.1:1"


async def test_the_first_request_for_the_description_does_not_block_the_loop(tmp_path: Path) -> None:
    async with (
        served(tmp_path, NOWHERE) as server,
        httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as http,
    ):
        first, again = [await http.get("/v1/openapi.json") for _ in range(2)]
        await http.get("/v1/health")
    assert first.status_code == 200
    assert first.json()["info"]["title"] == "Stigmer"
    assert "/v1/executions/{execution_id}/cancel" in first.json()["paths"]
    assert again.content == first.content
