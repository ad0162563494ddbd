"""The OpenAI-compatible model against a small server that speaks the chat completions wire."""

import json
import os
import random
from contextlib import suppress

import pytest

from stigmer_cli.api.reports import Work
from stigmer_cli.api.sessions import ExchangeBody
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.model_provider import OPENAI
from stigmer_cli.proxies import Proxies, proxies_in
from stigmer_cli.runner.model import library
from stigmer_cli.runner.model.hosted import NO_KEY, HostedModel
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.model.seam import ModelBusy, ModelFailed
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.secrets import Secrets
from tests.support.fakes_runner import InMemoryReports
from tests.support.model_endpoint import Endpoint
from tests.support.temporal_server import free_port

KEY = "sk-very-secret"


async def answer(url: str, *, key: str | None = KEY, proxies: Proxies | None = None) -> list[str | TokenUsage]:
    work = Work(instructions="Be brief.", message="Hi", model="openai:m", agent_name="a")
    library = ModelLibrary() if proxies is None else ModelLibrary(proxies)
    return [piece async for piece in HostedModel(OPENAI, "m", library, url=url, key=key).stream(work)]


async def test_the_answer_streams_and_the_instructions_go_along(endpoint: Endpoint) -> None:
    endpoint.words = ["Hel", "lo ", "there"]
    assert await answer(endpoint.url) == ["Hel", "lo ", "there"]
    assert endpoint.asked[0]["messages"] == [
        {"content": "Be brief.", "role": "system"},
        {"content": "Hi", "role": "user"},
    ]
    assert (endpoint.asked[0]["model"], endpoint.asked[0]["stream"]) == ("m", True)
    assert endpoint.keys == [f"Bearer {KEY}"]


async def test_what_was_said_before_goes_along(endpoint: Endpoint) -> None:
    endpoint.words = ["ok"]
    said = [ExchangeBody(execution="aex-1", message="Who?", output="Ada.")]
    work = Work(instructions="Be brief.", message="When?", model="openai:m", agent_name="a", conversation=said)
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key=KEY)
    assert [piece async for piece in model.stream(work)] == ["ok"]
    assert endpoint.asked[0]["messages"] == [
        {"content": "Be brief.", "role": "system"},
        {"content": "Who?", "role": "user"},
        {"content": "Ada.", "role": "assistant"},
        {"content": "When?", "role": "user"},
    ]


async def test_without_a_key_a_local_endpoint_gets_a_placeholder(endpoint: Endpoint) -> None:
    endpoint.words = ["ok"]
    assert await answer(endpoint.url, key=None) == ["ok"]
    assert endpoint.keys == ["Bearer no-key-needed"]


CHECK = "that the runner was started with: check OPENAI_API_KEY, then stigmer restart runner"
FAILED = {
    400: "answered 400 Bad Request: bad [redacted] thing",
    401: f"refuses the key (status 401) {CHECK}",
    403: f"answered 403 Forbidden: bad [redacted] thing; it was asked with the key {CHECK}",
    404: "is not there (status 404), bad [redacted] thing: check the agent's model and OPENAI_BASE_URL",
}
BUSY = {
    429: "answered 429 Too Many Requests: bad [redacted] thing",
    500: "answered 500 Internal Server Error: bad [redacted] thing",
    503: "answered 503 Service Unavailable: bad [redacted] thing",
    529: "answered 529: bad [redacted] thing",
}


@pytest.mark.parametrize("status", [*FAILED, *BUSY])
async def test_each_status_is_a_sentence_without_the_key_and_is_asked_once(endpoint: Endpoint, status: int) -> None:
    endpoint.status, endpoint.body = status, json.dumps({"error": {"message": f"bad {KEY} thing"}})
    with pytest.raises((ModelFailed, ModelBusy)) as caught:
        await answer(endpoint.url)
    assert type(caught.value) is (ModelFailed if status in FAILED else ModelBusy)
    assert caught.value.message == f"the model openai:m at 127.0.0.1:{endpoint.port} {(FAILED | BUSY)[status]}"
    assert len(endpoint.asked) == 1


async def test_what_a_busy_endpoint_asks_for_is_known(endpoint: Endpoint) -> None:
    endpoint.status, endpoint.headers = 429, {"Retry-After": "17"}
    with pytest.raises(ModelBusy) as caught:
        await answer(endpoint.url)
    assert caught.value.wait_s == 17.0


@pytest.mark.parametrize(
    ("headers", "error"),
    [({"x-should-retry": "false"}, {}), ({}, {"code": "insufficient_quota", "type": "insufficient_quota"})],
)
async def test_what_the_provider_says_cannot_be_changed_by_asking_again_fails(
    endpoint: Endpoint, headers: dict[str, str], error: dict[str, str]
) -> None:
    endpoint.status, endpoint.headers = 429, headers
    endpoint.body = json.dumps({"error": {"message": "no credit", **error}})
    with pytest.raises(ModelFailed, match="answered 429 Too Many Requests: no credit"):
        await answer(endpoint.url)


async def test_an_endpoint_that_is_not_there_is_busy() -> None:
    port = free_port()
    with pytest.raises(ModelBusy, match=f"the model openai:m at 127.0.0.1:{port} cannot be reached: "):
        await answer(f"http://127.0.0.1:{port}/v1")


async def test_an_answer_that_breaks_off_is_busy(endpoint: Endpoint) -> None:
    endpoint.words, endpoint.is_cut = ["Hel"], True
    with pytest.raises(ModelBusy, match="cannot be reached"):
        await answer(endpoint.url)


@pytest.mark.parametrize(
    ("finish", "kind", "words"),
    [
        (None, ModelBusy, "broke its answer off"),
        ("length", ModelFailed, "cut its answer at its limit of tokens"),
        ("max_tokens", ModelFailed, r"cut its answer at its limit of tokens \(finish reason max_tokens\)"),
        ("abort", ModelFailed, r"ended its answer with an error \(finish reason abort\)"),
        ("content_filter", ModelFailed, "its content filter refuses"),
    ],
)
async def test_an_answer_that_is_not_the_whole_one_is_never_taken_for_it(
    endpoint: Endpoint, finish: str | None, kind: type[Exception], words: str
) -> None:
    endpoint.words, endpoint.finish = ["Hel"], finish
    with pytest.raises(kind, match=words):
        await answer(endpoint.url)


USAGE = {
    "prompt_tokens": 812,
    "completion_tokens": 96,
    "total_tokens": 908,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
USED = TokenUsage(
    model="openai:m",
    input_tokens=812,
    output_tokens=96,
    details={"cache_read_tokens": 64, "output_reasoning_tokens": 20},
)


async def test_what_the_endpoint_counted_follows_the_answer(endpoint: Endpoint) -> None:
    endpoint.words, endpoint.usage = ["ok"], USAGE
    assert await answer(endpoint.url) == ["ok", USED]


async def test_the_cost_is_the_list_price_where_there_is_one(endpoint: Endpoint) -> None:
    endpoint.words, endpoint.usage, endpoint.model = ["ok"], USAGE, "gpt-4o-mini-2024-07-18"
    (_, priced) = await answer(endpoint.url)
    assert isinstance(priced, TokenUsage)
    # Per million tokens: 0.15 for input, half of that for cached input, 0.60 for output.
    assert priced.cost == pytest.approx(((812 - 64) * 0.15 + 64 * 0.075 + 96 * 0.6) / 1e6)


async def test_an_answer_that_is_cut_is_paid_for_too(endpoint: Endpoint) -> None:
    endpoint.words, endpoint.usage, endpoint.finish = ["Hel"], USAGE, "length"
    told: list[str | TokenUsage] = []
    work = Work(instructions="", message="Hi", model="openai:m", agent_name="a")
    stream = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key=KEY).stream(work)
    with suppress(ModelFailed):
        while True:
            told.append(await anext(stream))
    assert told == ["Hel", USED]


@pytest.mark.parametrize("first", [[], ["Hel"]])
async def test_a_model_that_is_silent_for_too_long_is_busy_and_the_setting_is_named(
    endpoint: Endpoint, first: list[str]
) -> None:
    endpoint.words, endpoint.pauses_s = [*first, "lo"], [*([0.0] * len(first)), 1.0]
    work = Work(instructions="", message="Hi", model="openai:m", agent_name="a")
    stream = HostedModel(OPENAI, "m", ModelLibrary(silent_s=0.2), url=endpoint.url, key=KEY).stream(work)
    with pytest.raises(ModelBusy, match=r"has said nothing for 0.2s \(STIGMER_MODEL_SILENT_FOR\)"):
        [part async for part in stream]


@pytest.mark.parametrize("first", [[], ["Hel"]])
async def test_a_model_that_only_keeps_its_connection_alive_is_silent(endpoint: Endpoint, first: list[str]) -> None:
    endpoint.words, endpoint.pauses_s = [*first, "lo"], [*([0.0] * len(first)), 2.0]
    endpoint.keeps_alive_s = 0.05
    work = Work(instructions="", message="Hi", model="openai:m", agent_name="a")
    stream = HostedModel(OPENAI, "m", ModelLibrary(silent_s=0.4), url=endpoint.url, key=KEY).stream(work)
    with pytest.raises(ModelBusy, match=r"has said nothing for 0.4s \(STIGMER_MODEL_SILENT_FOR\)"):
        [part async for part in stream]


@pytest.mark.parametrize("finish", ["stop", "eos", "end_turn", "STOP"])
async def test_an_end_that_has_another_name_is_an_end(endpoint: Endpoint, finish: str) -> None:
    endpoint.words, endpoint.finish = ["ok"], finish
    assert await answer(endpoint.url) == ["ok"]


CORRECT = "; check OPENAI_BASE_URL"
NO_ANSWERS: dict[str, tuple[dict[str, str], str, type[Exception], str]] = {
    "a page": (
        {"Content-Type": "text/html; charset=utf-8"},
        "<html>Log in</html>",
        ModelFailed,
        f"answered with a page (text/html), as a web site or a login does, and not as a model does{CORRECT}",
    ),
    "an error that says 200": (
        {},
        '{"error": {"message": "slow down", "code": 429}}',
        ModelBusy,
        "answered 200, and an error in it 429 Too Many Requests: slow down",
    ),
    "an error without a number": (
        {},
        '{"error": "no such model"}',
        ModelFailed,
        "answered 200, and an error in it: no such model",
    ),
    "no stream": (
        {},
        '{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}',
        ModelFailed,
        f"answered all at once (application/json), and was asked for a stream, which it has to support{CORRECT}",
    ),
    "an empty stream": ({"Content-Type": "text/event-stream"}, "", ModelBusy, "ended its answer before the first word"),
    "an error in a stream": (
        {"Content-Type": "text/event-stream"},
        'data: {"error": "no budget for thinking"}\n\n',
        ModelBusy,
        "answered with an error: no budget for thinking",
    ),
}


@pytest.mark.parametrize("case", NO_ANSWERS)
async def test_an_answer_that_is_no_completion_is_told_as_what_it_is(endpoint: Endpoint, case: str) -> None:
    endpoint.headers, endpoint.body, kind, words = NO_ANSWERS[case]
    with pytest.raises((ModelFailed, ModelBusy)) as caught:
        await answer(endpoint.url)
    assert (type(caught.value), caught.value.message) == (
        kind,
        f"the model openai:m at 127.0.0.1:{endpoint.port} {words}",
    )


@pytest.mark.parametrize(("status", "words"), [(301, "which loses what is asked"), (307, "cannot be read: Exceeded")])
async def test_a_redirect_that_leads_nowhere_fails_at_once(endpoint: Endpoint, status: int, words: str) -> None:
    endpoint.status, endpoint.headers = status, {"Location": "/v1/chat/completions"}
    with pytest.raises(ModelFailed, match=words):
        await answer(endpoint.url)


async def test_a_stream_that_is_called_json_is_read_as_a_stream(endpoint: Endpoint) -> None:
    """As of Palantir's Foundry: microsoft/foundry-dev-tools#195."""
    endpoint.headers = {"Content-Type": "application/json"}
    endpoint.words = ["hel", "lo"]
    assert "".join(map(str, await answer(endpoint.url))) == "hello"


async def test_a_page_of_a_wall_before_the_provider_is_told_by_its_title(endpoint: Endpoint) -> None:
    endpoint.status, endpoint.headers = 403, {"Content-Type": "text/html"}
    endpoint.body = f"<!DOCTYPE html><html><head><title>Just a moment...</title></head>{'<p>x</p>' * 1_000}</html>"
    with pytest.raises(ModelFailed, match=r"answered 403 Forbidden: a page, 'Just a moment...'; it was asked with the"):
        await answer(endpoint.url)


async def test_a_model_that_answers_without_a_word_is_asked_again(endpoint: Endpoint) -> None:
    wordless: tuple[list[dict[str, object]], str] = ([{"reasoning_content": "I wonder"}], "stop")
    endpoint.turns = [wordless, wordless, ([{"content": "hello"}], "stop")]
    assert "".join(map(str, await answer(endpoint.url))) == "hello"
    endpoint.turns = [wordless] * 3
    with pytest.raises(ModelFailed, match="has given an empty answer, and was asked for another one in vain"):
        await answer(endpoint.url)


async def test_a_character_that_comes_in_two_halves_is_one(endpoint: Endpoint) -> None:
    endpoint.words = ["hi \ud83d", "\ude00 there", " \ud83d", "x"]
    assert "".join(map(str, await answer(endpoint.url))) == "hi \U0001f600 there \ufffdx"


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
async def test_a_proxy_of_the_shell_has_no_part_in_a_model_on_this_machine(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("NO_PROXY", "::1,10.0.0.0/8")
    endpoint.words = ["ok"]
    assert await answer(endpoint.url, proxies=proxies_in(os.environ)) == ["ok"]


async def test_a_model_elsewhere_is_asked_through_the_proxy(endpoint: Endpoint) -> None:
    endpoint.words = ["ok"]
    proxies = proxies_in({"http_proxy": f"http://127.0.0.1:{endpoint.port}"})
    assert await answer("http://model.example/v1", proxies=proxies) == ["ok"]


async def test_a_dead_proxy_is_named() -> None:
    proxies = proxies_in({"http_proxy": f"http://me:secret@127.0.0.1:{free_port()}"})
    with pytest.raises(ModelBusy) as caught:
        await answer("http://model.example/v1", proxies=proxies)
    assert "at model.example cannot be reached through the proxy http://127.0.0.1:" in caught.value.message
    assert "secret" not in caught.value.message


async def test_a_proxy_that_speaks_no_http_fails_with_what_to_set() -> None:
    with pytest.raises(ModelFailed, match=r"socks5://proxy:1080 \(ALL_PROXY\).*set https_proxy") as caught:
        await answer("https://model.example/v1", proxies=proxies_in({"ALL_PROXY": "socks5://proxy:1080"}))
    assert caught.value.message.startswith("the model openai:m would be asked through")


async def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(ModelFailed, match="SSL_CERT_FILE or SSL_CERT_DIR"):
        await answer("https://model.example/v1")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://model.example:port/v1", "Port could not be cast to integer value as 'port'"),
        ("http://model.example:99999/v1", "Port out of range 0-65535"),
        ("http://[::1/v1", "Invalid IPv6 URL"),
        ("http:///v1", "names no host"),
        ("model.example", "is not an http:// or https:// URL"),
    ],
)
async def test_an_endpoint_that_is_no_url_is_named_with_its_variable(url: str, problem: str) -> None:
    with pytest.raises(ModelFailed) as failed:
        await answer(url)
    assert problem in failed.value.message
    assert failed.value.message.endswith("; correct OPENAI_BASE_URL, then stigmer restart runner")


@pytest.mark.parametrize(
    ("key", "odd"), [("sk-\u2019x", r"4 is '\u2019'"), ("sk-\n", r"4 is '\n'"), ("a b", "2 is ' '")]
)
async def test_a_key_with_a_character_that_no_key_has_is_named_with_its_variable(
    endpoint: Endpoint, key: str, odd: str
) -> None:
    work = Work(instructions="", message="Hi", model="openai:m", agent_name="a")
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key=key)
    with pytest.raises(ModelFailed) as failed:
        await anext(model.stream(work))
    assert "cannot be asked with the key that the runner was started with: check OPENAI_API_KEY" in failed.value.message
    assert f"its character {odd}" in failed.value.message
    assert key not in failed.value.message


async def test_whatever_else_the_library_raises_fails_the_execution_once(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise RuntimeError("a defect of the library")

    monkeypatch.setattr(library, "_make_model", fail)
    with pytest.raises(ModelFailed, match=r"cannot be used: RuntimeError: a defect of the library"):
        await answer(endpoint.url)


def secrets_with(**values: str) -> Secrets:
    reports = InMemoryReports()
    reports.secrets = values
    return Secrets(Reporter(reports, ClockAndRng(clock=SystemClock(), rng=random.Random(1))))


async def test_the_key_is_a_secret_where_the_runner_was_given_none(endpoint: Endpoint) -> None:
    endpoint.words = ["ok"]
    work = Work(instructions="", message="Hi", model="openai:m", agent_name="a")
    for secrets, key in ((secrets_with(OPENAI_API_KEY="sk-of-the-store"), "sk-of-the-store"), (secrets_with(), NO_KEY)):
        model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key=None, secrets=secrets)
        assert [part async for part in model.stream(work)] == ["ok"]
        assert endpoint.keys[-1] == f"Bearer {key}"
    given = HostedModel(
        OPENAI, "m", ModelLibrary(), url=endpoint.url, key=KEY, secrets=secrets_with(OPENAI_API_KEY="no")
    )
    assert [part async for part in given.stream(work)] == ["ok"]
    assert endpoint.keys[-1] == f"Bearer {KEY}"


async def test_a_key_that_is_nowhere_is_asked_for_by_name() -> None:
    work = Work(instructions="", message="Hi", model="openai:m", agent_name="a")
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=None, key=None, secrets=secrets_with())
    with pytest.raises(ModelFailed, match="stigmer secrets set OPENAI_API_KEY"):
        await anext(model.stream(work))
