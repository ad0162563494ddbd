"""Three providers with a library each: the same failure is the same kind of error, in the same words."""

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from stigmer_cli.api.reports import Work
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.model_provider import OPENAI, PROVIDERS
from stigmer_cli.extras import is_installed
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.model.hosted import HostedModel
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.model.seam import ModelBusy, ModelFailed
from stigmer_cli.running_version import InstallationChanged
from stigmer_cli.secret_values import GONE
from stigmer_cli.settings import Home, Settings
from tests.support.provider_wire import MODELS, WIRES, Stub, provider_stub
from tests.support.temporal_server import free_port

KEY = "sk-of-this-very-test"


@pytest.fixture(params=list(WIRES))
def stub(request: pytest.FixtureRequest) -> Iterator[Stub]:
    if not is_installed(PROVIDERS[request.param].library):
        pytest.skip(f"the library of {request.param} is not installed")
    with provider_stub(request.param) as stub:
        yield stub


async def answer(stub: Stub, home: Home, *, url: str = "") -> list[str | TokenUsage]:
    provider = PROVIDERS[stub.wire.name]
    name = f"{provider.name}:{MODELS[provider.name]}"
    environ = {provider.key: KEY, stub.wire.variable: url or stub.url}
    catalog = Catalog(Settings(home=home), clock=SystemClock(), environ=environ)
    work = Work(instructions="Be brief.", message="Hi", model=name, agent_name="a")
    try:
        return [piece async for piece in catalog(name).stream(work)]
    finally:
        await catalog.close()


async def failure(stub: Stub, home: Home, **options: str) -> ModelBusy | ModelFailed:
    with pytest.raises((ModelBusy, ModelFailed)) as caught:
        await answer(stub, home, **options)
    assert caught.value.message.startswith(f"the model {stub.wire.name}:{MODELS[stub.wire.name]} at 127.0.0.1:")
    assert KEY not in caught.value.message
    assert isinstance(caught.value, ModelBusy | ModelFailed)
    return caught.value


async def test_an_answer_streams_and_is_counted(stub: Stub, home: Home) -> None:
    found = await answer(stub, home)
    used = found.pop()
    assert "".join(map(str, found)) == "Hello"
    assert isinstance(used, TokenUsage)
    assert (used.input_tokens, used.output_tokens) == (812, 96)
    assert (used.cost is None) == (stub.wire.name == "ollama")
    assert [key.removeprefix("Bearer ") for key in stub.keys] == [KEY]
    assert "Be brief." in str(stub.asked)


async def test_a_key_is_not_sent_on_by_a_redirect_to_another_place(stub: Stub, home: Home) -> None:
    with provider_stub(stub.wire.name) as other:
        stub.status, stub.headers = 307, {"Location": f"{other.url}/moved"}
        assert "Hello" in "".join(map(str, await answer(stub, home)))
    assert [key.removeprefix("Bearer ") for key in stub.keys] == [KEY]
    assert other.keys == [""]


STATUS = {
    400: (ModelFailed, "answered 400 Bad Request: bad [redacted] thing"),
    401: (ModelFailed, "refuses the key (status 401) that the runner was started with: check"),
    404: (ModelFailed, "is not there (status 404), bad [redacted] thing: check the agent's model and"),
    429: (ModelBusy, "answered 429 Too Many Requests: bad [redacted] thing"),
    500: (ModelBusy, "answered 500 Internal Server Error: bad [redacted] thing"),
    503: (ModelBusy, "answered 503 Service Unavailable: bad [redacted] thing"),
}


@pytest.mark.parametrize("status", STATUS)
async def test_a_status_means_the_same_everywhere_and_is_asked_for_once(stub: Stub, home: Home, status: int) -> None:
    stub.status, stub.headers = status, {"Retry-After": "17"}
    stub.body = stub.wire.refusal("some_error", f"bad {KEY} thing")
    found = await failure(stub, home)
    kind, words = STATUS[status]
    assert (type(found), words in found.message) == (kind, True), found.message
    assert len(stub.asked) == 1
    if isinstance(found, ModelBusy):
        assert found.wait_s == 17.0


async def test_an_endpoint_that_is_not_there_is_busy(stub: Stub, home: Home) -> None:
    found = await failure(stub, home, url=f"http://127.0.0.1:{free_port()}{stub.wire.path}")
    assert (type(found), " cannot be reached: " in found.message) == (ModelBusy, True), found.message


@pytest.mark.parametrize("breaks_after", [1, 2])
async def test_an_answer_that_breaks_off_is_busy(stub: Stub, home: Home, breaks_after: int) -> None:
    stub.breaks_after = breaks_after
    assert type(await failure(stub, home)) is ModelBusy


async def test_an_answer_without_a_reason_for_its_end_is_busy(stub: Stub, home: Home) -> None:
    stub.reason = None
    assert type(await failure(stub, home)) is ModelBusy


@pytest.mark.parametrize(
    ("reason", "words"), [("length", "cut its answer at its limit"), ("content_filter", "its content filter refuses")]
)
async def test_an_answer_that_is_not_the_whole_one_fails(stub: Stub, home: Home, reason: str, words: str) -> None:
    stub.reason = reason
    found = await failure(stub, home)
    assert (type(found), words in found.message) == (ModelFailed, True), found.message


async def test_a_model_that_is_silent_for_too_long_is_busy(stub: Stub) -> None:
    stub.pause_s = 1.0
    name = MODELS[stub.wire.name]
    model = HostedModel(PROVIDERS[stub.wire.name], name, ModelLibrary(silent_s=0.2), url=stub.url, key=KEY)
    work = Work(instructions="", message="Hi", model=f"{stub.wire.name}:{name}", agent_name="a")
    with pytest.raises(ModelBusy, match=r"has said nothing for 0.2s \(STIGMER_MODEL_SILENT_FOR\)"):
        [piece async for piece in model.stream(work)]


async def test_an_answer_that_is_no_answer_fails_once(stub: Stub, home: Home) -> None:
    stub.body = "<html>hello</html>"
    await failure(stub, home)
    assert len(stub.asked) == 1


async def test_a_provider_whose_library_is_not_there_says_what_to_install(home: Home) -> None:
    missing = next(p for p in PROVIDERS.values() if p.extra and not is_installed(p.library))
    catalog = Catalog(Settings(home=home), clock=SystemClock(), environ={missing.key: KEY})
    work = Work(instructions="", message="Hi", model=f"{missing.name}:m", agent_name="a")
    with pytest.raises(ModelFailed) as caught:
        [piece async for piece in catalog(f"{missing.name}:m").stream(work)]
    assert f"pip install 'stigmer-cli[{missing.extra}]'" in caught.value.message
    assert GONE not in caught.value.message


async def test_where_what_stigmer_comes_with_is_gone_no_execution_fails_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner that was moved or is being upgraded hands back what it took up, whatever the provider."""
    missing = next(p for p in PROVIDERS.values() if p.extra and not is_installed(p.library))
    with pytest.raises(InstallationChanged):
        await ModelLibrary().load(replace(missing, extra=""))
    monkeypatch.setitem(sys.modules, OPENAI.library, None)
    with pytest.raises(InstallationChanged):
        await ModelLibrary().load(missing)


OTHERS = {
    "bedrock-mantle": "needs credentials that are not one key",
    "elevenlabs": "has voices, no models that chat",
    "github": "was retired",
    "github-copilot": "needs a person to sign in",
    "google-decisions": "answers no messages",
    "openai-chatgpt": "needs a person to sign in",
    "openai-codex": "needs a person to sign in",
    "openai-decisions": "answers no messages",
    "litellm": "has no endpoint of its own: openai and OPENAI_BASE_URL ask one",
    "sentence-transformers": "has no models that chat",
    "system-one": "answers no messages",
    "typesafe": "answers no messages",
    "voyageai": "has no models that chat",
}
"""What the library knows and Stigmer has no name for, and why."""

ELSEWHERE = {"ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"}
"""Variables that the provider's own package reads."""


def test_every_provider_that_the_library_knows_has_a_name_or_a_reason() -> None:
    from pydantic_ai.providers import infer_provider_class  # noqa: PLC0415 - a second that only this test pays

    cases = re.findall(r"case ('.*?'):", inspect.getsource(infer_provider_class))
    known = {name for case in cases for name in re.findall(r"'([^']+)'", case)}
    assert known == set(PROVIDERS) | set(OTHERS)
    for provider in PROVIDERS.values():
        if is_installed(provider.library):
            source = inspect.getsource(sys.modules[infer_provider_class(provider.name).__module__])
            read = {*provider.keys, provider.url} - {"", *ELSEWHERE}
            assert {name for name in read if name not in source} == set(), provider.name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name, provider in PROVIDERS.items() if not provider.extra))
async def test_a_model_of_each_provider_can_be_made(name: str, home: Home) -> None:
    catalog = Catalog(Settings(home=home, openai_api_key=KEY), clock=SystemClock(), environ={PROVIDERS[name].key: KEY})
    model = catalog(f"{name}:openai/m")
    assert isinstance(model, HostedModel)
    try:
        made = await model.library_model()
    except ModelFailed as error:
        assert (name, "cannot be used: " in error.message) in [(needy, True) for needy in MORE], error.message  # noqa: PT017
    else:
        assert made.model_name == "openai/m"
    await catalog.close()


MORE = ("azure", "azure-responses", "snowflake")
"""They need an account or an endpoint, too."""
