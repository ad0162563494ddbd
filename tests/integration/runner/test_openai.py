"""The OpenAI-compatible model against a small server that speaks the chat completions wire."""

import json

import pytest

from stigmer_cli.api.reports import Work
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.model.openai import OpenAiModel
from stigmer_cli.runner.model.seam import ModelBusy, ModelFailed
from tests.model_endpoint import Endpoint
from tests.temporal_server import free_port

KEY = "sk-very-secret"


async def answer(url: str, *, key: str | None = KEY) -> list[str]:
    work = Work(instructions="Be brief.", message="Hi", model="openai:m", agent_name="a")
    return [piece async for piece in OpenAiModel("m", ModelLibrary(), base_url=url, api_key=key).stream(work)]


async def test_the_answer_streams_and_the_instructions_go_along(endpoint: Endpoint) -> None:
    endpoint.words = ["Hel", "lo ", "there"]
    assert await answer(endpoint.url) == ["Hel", "lo ", "there"]
    assert endpoint.asked[0]["messages"] == [
        {"content": "Be brief.", "role": "system"},
        {"content": "Hi", "role": "user"},
    ]
    assert (endpoint.asked[0]["model"], endpoint.asked[0]["stream"]) == ("m", True)
    assert endpoint.keys == [f"Bearer {KEY}"]


async def test_without_a_key_a_local_endpoint_gets_a_placeholder(endpoint: Endpoint) -> None:
    endpoint.words = ["ok"]
    assert await answer(endpoint.url, key=None) == ["ok"]
    assert endpoint.keys == ["Bearer no-key-needed"]


CHECK = "that the runner was started with: check OPENAI_API_KEY, then stigmer restart runner"
FAILED = {
    400: "answered with status 400: bad *** thing",
    401: f"refuses the key (status 401) {CHECK}",
    403: f"refuses the key (status 403) {CHECK}",
    404: "is not there (status 404): check the agent's model and OPENAI_BASE_URL",
}
BUSY = {
    429: "answered with status 429: bad *** thing",
    500: "answered with status 500: bad *** thing",
    503: "answered with status 503: bad *** thing",
}


@pytest.mark.parametrize("status", [*FAILED, *BUSY])
async def test_each_status_is_a_sentence_without_the_key_and_is_asked_once(endpoint: Endpoint, status: int) -> None:
    endpoint.status, endpoint.body = status, json.dumps({"error": {"message": f"bad {KEY} thing"}})
    with pytest.raises((ModelFailed, ModelBusy)) as caught:
        await answer(endpoint.url)
    assert type(caught.value) is (ModelFailed if status in FAILED else ModelBusy)
    assert caught.value.message == f"the model openai:m at 127.0.0.1:{endpoint.port} {(FAILED | BUSY)[status]}"
    assert len(endpoint.asked) == 1


async def test_an_endpoint_that_is_not_there_is_busy() -> None:
    port = free_port()
    with pytest.raises(ModelBusy, match=f"the model openai:m at 127.0.0.1:{port} cannot be reached: "):
        await answer(f"http://127.0.0.1:{port}/v1")


async def test_an_answer_that_breaks_off_is_busy(endpoint: Endpoint) -> None:
    endpoint.words, endpoint.is_cut = ["Hel"], True
    with pytest.raises(ModelBusy, match="cannot be reached"):
        await answer(endpoint.url)


async def test_an_answer_that_is_no_completion_fails(endpoint: Endpoint) -> None:
    endpoint.body = "<html>hello</html>"
    with pytest.raises((ModelFailed, ModelBusy)):
        await answer(endpoint.url)
