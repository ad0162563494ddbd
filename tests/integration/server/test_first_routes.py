"""What is asked while a stack starts is answered without FastAPI, and as the description of the API says."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from stigmer_cli.json_schema import find_misfit
from stigmer_cli.server_proof import PATH as CHALLENGE
from tests.support.running_server import TOKEN, served

NOWHERE = "127.0.0.1:1"
NONCE = "0123456789abcdef" * 4


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        served(tmp_path, NOWHERE) as server,
        httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as http,
    ):
        yield http


async def test_first_answers_are_what_the_description_of_the_api_says(http: httpx.AsyncClient) -> None:
    asked = {
        "/readyz": {},
        "/v1/health": {},
        "/v1/identity": {"runner": "r@host", "busy": "1", "slots": "5", "unknown": "x"},
        CHALLENGE: {"nonce": NONCE},
    }
    answers = {path: await http.get(path, params=query) for path, query in asked.items()}
    described = (await http.get("/v1/openapi.json")).json()
    for path, answer in answers.items():
        content = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        schema = {**content["schema"], "components": described["components"]}
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), path
        assert find_misfit(answer.json(), schema) == "", path
    assert (await http.get("/livez")).text == "ok\n"


async def test_what_is_not_as_expected_goes_the_long_way(http: httpx.AsyncClient) -> None:
    wrong = [
        await http.get("/v1/identity?busy=-1"),
        await http.get("/v1/identity?busy=1&busy=x"),
        await http.get(f"/v1/identity?runner={'r' * 401}"),
        await http.get(CHALLENGE),
        await http.get(f"{CHALLENGE}?nonce=short"),
        await http.post("/v1/health", json={}),
    ]
    assert [(answer.status_code, answer.json()["detail"]) for answer in wrong] == [
        (400, "query.busy: Input should be greater than or equal to 0"),
        (400, "query.busy: Input should be a valid integer, unable to parse string as an integer"),
        (400, "query.runner: String should have at most 400 characters"),
        (400, "query.nonce: Field required"),
        (400, f"query.nonce: String should match pattern '^[0-9a-f]{{{len(NONCE)}}}$'"),
        (405, "Method Not Allowed"),
    ]
