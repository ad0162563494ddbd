"""Checks of category Configuration: what was set where, and whether it can work."""

import pytest

from stigmer_cli.doctor.checks import configuration
from stigmer_cli.doctor.facts.facts import ExecutionsSeen, Facts, HomeSeen
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings, Source
from tests.unit.doctor.facts_builder import HOME, brief, healthy


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(), ("pass", "all settings are valid", "")),
        (
            healthy(problem=ConfigError("config.toml: there is no setting 'x'")),
            ("fail", "config.toml: there is no setting 'x'", "${EDITOR:-vi} /home/ada/.stigmer/config.toml"),
        ),
        (
            healthy(
                problem=ConfigError("STIGMER_RECONCILE: 'x' is none of auto, manual", hint="unset STIGMER_RECONCILE")
            ),
            ("fail", "STIGMER_RECONCILE: 'x' is none of auto, manual", "unset STIGMER_RECONCILE"),
        ),
    ],
)
async def test_settings(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await configuration.settings(facts)) == expected


async def test_an_empty_variable_is_named_to_be_unset() -> None:
    settings = Settings(home=HOME, warnings=("variable STIGMER_DATABASE_URL is empty; it counts as not set",))
    found = await configuration.variables(healthy(settings=settings))
    assert (found.result, found.hint) == ("warn", "unset STIGMER_DATABASE_URL")


async def test_unknown_variables_are_named_to_be_unset() -> None:
    settings = Settings(home=HOME, warnings=("unknown variable STIGMER_HOEM; did you mean STIGMER_HOME?",))
    assert brief(await configuration.variables(healthy(settings=settings))) == (
        "warn",
        "unknown variable STIGMER_HOEM; did you mean STIGMER_HOME?",
        "unset STIGMER_HOEM",
    )


async def test_what_is_set_is_listed_with_its_layer_and_without_its_value() -> None:
    settings = Settings(home=HOME, token="secret", sources={"token": Source.ENVIRONMENT, "ui_port": Source.FILE})
    found = await configuration.layers(healthy(settings=settings))
    assert brief(found) == ("info", "set: ui_port (config.toml), token (environment)", "")
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("facts", "result"),
    [
        (healthy(), "pass"),
        (healthy(home=HomeSeen(token_mode=0o644)), "warn"),
        (healthy(home=HomeSeen(token_mode=None)), "fail"),
        (healthy(home=HomeSeen(token_mode=None), endpoints=None), "skip"),
        (healthy(home=HomeSeen(token_mode=None), settings=Settings(home=HOME, token="t")), "pass"),
    ],
)
async def test_token(facts: Facts, result: str) -> None:
    assert (await configuration.token(facts)).result == result


async def test_a_model_without_a_provider_is_a_warning() -> None:
    needy = ExecutionsSeen(models=("echo", "openai:gpt-x"))
    assert (await configuration.models(healthy(executions=needy))).message == (
        "agents use openai:gpt-x, and the runner was given neither OPENAI_API_KEY nor OPENAI_BASE_URL"
    )
    local = Settings(home=HOME, openai_base_url="http://127.0.0.1:11434/v1")
    assert (await configuration.models(healthy(executions=needy, settings=local))).result == "pass"
    why = "127.0.0.1:11434 cannot be reached from here: connection refused"
    assert brief(await configuration.models(healthy(executions=needy, settings=local, provider=why))) == (
        "warn",
        f"agents use openai:gpt-x, but {why}",
        "stigmer config get openai_base_url",
    )


async def test_a_model_that_nobody_knows_is_a_warning() -> None:
    found = await configuration.models(healthy(executions=ExecutionsSeen(models=("echo:slow", "gpt-x"))))
    assert (found.result, found.hint) == ("warn", "stigmer agents list")
    assert (
        found.message == "agents use gpt-x, which is no known model: use echo, echo:slow, script:FILE or PROVIDER:NAME"
        " (stigmer help agents)"
    )
