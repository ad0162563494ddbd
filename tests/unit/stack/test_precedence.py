"""Whose settings count, over every layer and every address."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.errors import ConfigError
from stigmer_cli.options import ADDRESSES, OPTIONS
from stigmer_cli.settings import Home, Settings, Source, load
from stigmer_cli.stack.differences import find_differences, takeover_command, would_change
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.precedence import (
    as_started,
    follow_running_stack,
    keep_recorded,
    layer_of,
    refuse_another_database,
    take_back,
)
from stigmer_cli.stack.settings_record import SettingsRecord, fingerprint, given_to, new_record

PARTS = ("temporal", "server", "runner")
HOME = Path("/home/me/.stigmer")
PG = "postgresql://me:secret@db.example/work"
EXAMPLES: Mapping[str, tuple[str, str]] = {
    "server_port": ("7001", "7002"),
    "temporal_address": ("one:7233", "two:7233"),
    "temporal_namespace": ("one", "two"),
    "temporal_tls": ("true", "false"),
    "temporal_ca_file": ("/one.pem", "/two.pem"),
    "temporal_cert_file": ("/one.pem", "/two.pem"),
    "temporal_key_file": ("/one.key", "/two.key"),
    "temporal_server_name": ("one", "two"),
    "temporal_api_key_file": ("/one", "/two"),
    "temporal_port": ("7003", "7004"),
    "ui_port": ("7005", "7006"),
    "ui_address": ("127.0.0.1:1", "127.0.0.1:2"),
    "database_url": ("sqlite:////one.db", "sqlite:////two.db"),
}
ENDPOINTS = Endpoints(
    server_url="http://127.0.0.1:7001",
    temporal_address="127.0.0.1:7003",
    ui_url=None,
    namespace="one",
    ephemeral=False,
    started_at="2026-01-01T00:00:00Z",
    server_port=7001,
    temporal_port=7003,
    ui_port=None,
)


def shell(**said: str) -> Settings:
    """The settings of a shell that says `said`, by the options' names."""
    variables = {option.name: option.variable for option in OPTIONS}
    environ = {variables[name]: text for name, text in said.items()}
    return load({}, {"STIGMER_HOME": str(HOME), **environ}, user_home=Path("/nowhere"))


def recorded(**said: str) -> SettingsRecord:
    """What is written down once a shell that says `said` has started a stack."""
    return new_record().with_parts(shell(**said), PARTS, at="2026-01-01T00:00:00Z")


def test_there_is_an_example_for_every_address() -> None:
    assert set(EXAMPLES) == ADDRESSES


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_an_address_stays_where_nothing_is_said_and_gives_way_to_what_is(name: str) -> None:
    before, now = EXAMPLES[name]
    record = recorded(**{name: before})

    quiet, loud = keep_recorded(shell(), record), keep_recorded(shell(**{name: now}), record)

    assert getattr(quiet, name) == getattr(shell(**{name: before}), name)
    assert quiet.sources[name] is Source.RECORD
    assert getattr(loud, name) == getattr(shell(**{name: now}), name)
    assert would_change(record, shell()) == ()
    assert [one.name for one in would_change(record, shell(**{name: now}))] == [name]


@pytest.mark.parametrize("name", sorted(option.name for option in OPTIONS if option.name not in ADDRESSES))
def test_any_other_setting_is_that_of_who_asks(name: str) -> None:
    text = {
        "submit_policy": "fail-fast",
        "reconcile": "manual",
        "log_level": "debug",
        "insecure_http": "true",
        "model_silent_for": "90s",
        "model_retry_for": "1h",
        "tool_silent_for": "30s",
        "on_exhausted": "fail",
        "retention": "30d",
        "event_retention": "48h",
        "workflow_tasks_max": "500",
    }.get(name)
    text = text or (
        "https://one.example" if name.endswith("_url") else "true" if name == "behind_proxy" else "127.0.0.2"
    )
    record = recorded(**{name: text})

    assert getattr(keep_recorded(shell(), record), name) == getattr(shell(), name)
    assert all(one.now.source is Source.DEFAULT for one in would_change(record, shell()))


def test_the_key_of_one_temporal_is_not_taken_to_another() -> None:
    record = recorded(temporal_address="cloud:7233", temporal_api_key_file="/key", temporal_namespace="work")

    moved = keep_recorded(shell(temporal_address="elsewhere:7233"), record)

    assert (moved.temporal_api_key_file, moved.temporal_namespace) == (None, "default")
    same = keep_recorded(shell(temporal_address="cloud:7233"), record)
    assert (same.temporal_api_key_file, same.temporal_namespace) == ("/key", "work")


def test_a_command_follows_the_stack_that_runs_whatever_its_shell_says() -> None:
    record = recorded(server_port="7001", temporal_port="7003", temporal_namespace="one")
    here = shell(
        server_port="9",
        temporal_port="9",
        temporal_address="x:9",
        temporal_namespace="x",
        database_url=PG,
        token="t0ken",
    )

    found = follow_running_stack(here, ENDPOINTS, record)

    assert (found.server_target, found.server_port) == ("http://127.0.0.1:7001", 7001)
    assert (found.temporal_target, found.runs_own_temporal, found.temporal_namespace) == ("127.0.0.1:7003", True, "one")
    assert found.database_target == f"sqlite:///{HOME}/data/stigmer.db"
    assert found.token is None, "the stack's is in its file, and this one is for another server"


def test_a_server_that_is_named_by_url_gets_the_token_of_the_shell() -> None:
    found = follow_running_stack(shell(server_url="https://far.example", token="t0ken"), ENDPOINTS, recorded())

    assert (found.server_target, found.token) == ("https://far.example", "t0ken")


def test_a_part_started_alone_gets_what_the_others_have_and_the_rest_from_the_caller() -> None:
    environment = {"STIGMER_SERVER_PORT": "7001", "STIGMER_DATABASE_URL": PG, "STIGMER_TOKEN": "theirs"}

    found = as_started(shell(server_port="9", temporal_address="x:9", token="mine", openai_api_key="mine"), environment)

    assert (found.server_port, found.temporal_address, found.database_url) == (7001, None, PG)
    assert (found.token, found.openai_api_key) == ("theirs", "mine")


def test_the_password_of_an_endpoint_is_not_in_the_record_and_another_one_is_a_difference() -> None:
    record = new_record()
    one, other = (
        given_to("runner", shell(openai_base_url=f"http://me:{password}@host/v1"), record.salt)["openai_base_url"]
        for password in ("hunter22", "hunter23")
    )
    assert (one.value, other.value) == ("http://host/v1", "http://host/v1")
    assert not one.is_same(other)
    assert (
        given_to("runner", shell(openai_base_url="http://host/v1"), record.salt)["openai_base_url"].fingerprint is None
    )


def test_no_secret_is_in_the_record_and_each_value_has_its_own_fingerprint() -> None:
    record = recorded(openai_api_key="sk-a", token="t-a", database_url=PG)
    text = repr(record).replace("secrets_key_file", "")

    assert not [secret for secret in ("sk-a", "t-a", "secret") if secret in text]
    other = recorded(openai_api_key="sk-a")
    prints = {one.find_given("openai_api_key").fingerprint for one in (record, other)}  # type: ignore[union-attr]
    assert len(prints) == 2, "another home, another salt"
    assert (
        fingerprint("sk-a", record.salt)
        == given_to("runner", shell(openai_api_key="sk-a"), record.salt)["openai_api_key"].fingerprint
    )
    assert len(fingerprint("sk-a", record.salt)) == 8


@pytest.mark.parametrize(
    ("before", "here", "words"),
    [
        ({"database_url": PG}, {}, "STIGMER_DATABASE_URL is not set here, and its password is not recorded"),
        ({"database_url": PG}, {"database_url": "sqlite:////two.db"}, "STIGMER_DATABASE_URL names another database"),
        ({}, {"database_url": PG}, "names another database here: postgresql://me@db.example/work"),
        ({"database_url": PG}, {"database_url": PG}, ""),
        ({"database_url": PG}, {"database_url": PG.replace("secret", "rotated")}, ""),
        ({"database_url": "sqlite:////one.db"}, {}, ""),
        ({}, {}, ""),
        ({}, {"database_url": f"sqlite:///{HOME}/data/stigmer.db"}, ""),
    ],
)
def test_another_database_is_refused_with_both_names(before: dict[str, str], here: dict[str, str], words: str) -> None:
    record = recorded(**before)
    if not words:
        refuse_another_database(keep_recorded(shell(**here), record), record)
        return
    with pytest.raises(ConfigError) as refused:
        refuse_another_database(keep_recorded(shell(**here), record), record)
    assert words in refused.value.message
    assert "secret" not in refused.value.message + refused.value.hint
    assert "stigmer up --new-database" in refused.value.hint


def test_a_home_that_was_moved_has_the_same_database() -> None:
    record = recorded()
    refuse_another_database(replace(shell(), home=Home(path=Path("/elsewhere"))), record)


def test_a_difference_is_a_line_with_both_sides_and_who_said_so() -> None:
    record = recorded(openai_api_key="sk-a", submit_policy="fail-fast")
    found = would_change(record, shell(openai_api_key="sk-b", log_level="debug", database_url=PG))
    mark = {key: fingerprint(key, record.salt) for key in ("sk-a", "sk-b", PG)}

    assert [str(one) for one in found] == [
        (
            "database_url (server): not set -> postgresql://me@db.example/work"
            f" (STIGMER_DATABASE_URL, password with fingerprint {mark[PG]})"
        ),
        "submit_policy (server): fail-fast (STIGMER_SUBMIT_POLICY) -> queue (the default)",
        "log_level (server, runner): info (the default) -> debug (STIGMER_LOG_LEVEL)",
        (
            f"openai_api_key (runner): a value (OPENAI_API_KEY, fingerprint {mark['sk-a']})"
            f" -> another value (OPENAI_API_KEY, fingerprint {mark['sk-b']})"
        ),
    ]
    assert takeover_command(found) == "stigmer down && stigmer up --new-database"
    assert takeover_command(found[1:]) == "stigmer restart"
    assert takeover_command(found[-1:]) == "stigmer restart runner"


def test_a_part_that_was_never_started_differs_in_nothing() -> None:
    assert find_differences(None, recorded(), PARTS) == ()
    external = new_record().with_parts(shell(temporal_address="one:7233"), ("server", "runner"), at="")
    assert {part for one in find_differences(external, recorded(), PARTS) for part in one.parts} == {"server", "runner"}


@pytest.mark.parametrize(
    ("source", "layer", "command"),
    [
        (Source.ENVIRONMENT, "STIGMER_SERVER_URL", "unset STIGMER_SERVER_URL"),
        (Source.FILE, "config.toml", "stigmer config unset server_url"),
    ],
)
def test_a_setting_is_told_with_its_layer_and_how_to_take_it_back(source: Source, layer: str, command: str) -> None:
    said = replace(shell(server_url="http://there"), sources={"server_url": source})
    assert (layer_of(said, "server_url"), take_back(said, "server_url")) == (layer, command)


def test_a_default_has_no_layer() -> None:
    assert layer_of(shell(), "server_url") == ""
