"""Which model a name means, what the echo says, and what a missing key leads to."""

import dataclasses

import pytest

from stigmer_cli.api.reports import Work
from stigmer_cli.runner.model.catalog import Catalog
from stigmer_cli.runner.model.echo import Echo
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.settings import Home, Settings
from tests.support.fakes_temporal import LoopClock, in_virtual_time


def work(message: str, model: str = "echo") -> Work:
    return Work(instructions="", message=message, model=model, agent_name="a")


async def pieces(model: Echo, message: str) -> tuple[list[str], float]:
    clock = LoopClock()
    begun = clock.monotonic()
    return [piece async for piece in model.stream(work(message))], clock.monotonic() - begun


def test_the_echo_says_that_it_is_one_and_comes_in_a_few_pieces() -> None:
    found, took_s = in_virtual_time(pieces(Echo(clock=LoopClock()), "one two three four five six seven eight nine ten"))
    assert found == ["Echo (no model was asked): ", "one two three four five six seven eight ", "nine ten"]
    assert took_s == 0


def test_the_echo_keeps_every_space_and_line() -> None:
    found, _ = in_virtual_time(pieces(Echo(clock=LoopClock()), "  a\n\n\tb  "))
    assert "".join(found) == "Echo (no model was asked):   a\n\n\tb  "


def test_the_slow_echo_takes_a_fifth_of_a_second_a_word() -> None:
    found, took_s = in_virtual_time(pieces(Echo(clock=LoopClock(), word_s=0.2), "a b c"))
    assert found == ["Echo (no model was asked): ", "a ", "b ", "c"]
    assert round(took_s, 3) == 0.6


def test_an_empty_message_is_echoed_as_nothing() -> None:
    assert in_virtual_time(pieces(Echo(clock=LoopClock()), ""))[0] == ["Echo (no model was asked): "]


USE = "use echo, echo:slow, script:FILE or PROVIDER:NAME (stigmer help agents)"
SENTENCES = {
    "openai:gpt-5-mini": (
        "the model openai:gpt-5-mini needs a key: set OPENAI_API_KEY (stigmer secrets set OPENAI_API_KEY), or"
        " OPENAI_BASE_URL for a local endpoint"
    ),
    "openai:": "the model openai: has no name: write openai:NAME",
    "echo:loud": f"there is no model 'echo:loud': {USE}",
    "claude:x": (f"there is no model 'claude:x': {USE}; did you mean anthropic:x?"),
    "gemini-3-pro": (f"there is no model 'gemini-3-pro': {USE}; did you mean google:gemini-3-pro?"),
    "anthropc:x": (f"there is no model 'anthropc:x': {USE}; did you mean anthropic?"),
    "anthropic:": "the model anthropic: has no name: write anthropic:NAME",
    "mistral:x": "the model mistral:x needs a key: set MISTRAL_API_KEY (stigmer secrets set MISTRAL_API_KEY)",
    "": f"there is no model '': {USE}",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_model_that_cannot_be_had_says_what_to_write_or_set(name: str, home: Home) -> None:
    with pytest.raises(ModelFailed) as caught:
        Catalog(Settings(home=home), clock=LoopClock())(name)
    assert caught.value.message == SENTENCES[name]


def test_a_local_endpoint_needs_no_key(home: Home) -> None:
    settings = dataclasses.replace(Settings(home=home), openai_base_url="http://127.0.0.1:1/v1")
    Catalog(settings, clock=LoopClock())("openai:llama")
