"""What doctor says of the settings that parts were given: judged by the record, never by its own shell alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.doctor.checks import configuration, started_settings
from stigmer_cli.doctor.facts.facts import ExecutionsSeen, Facts
from stigmer_cli.options import OPTIONS
from stigmer_cli.settings import Settings, load
from stigmer_cli.stack.settings_record import SettingsRecord, new_record
from stigmer_cli.stack.status import SupervisorObservation
from tests.unit.doctor.facts_builder import HOME, healthy

DOWN = SupervisorObservation(record=None, is_answering=False, is_there=False)
PG = "postgresql://me:secret@db.example/work"
CLEVER = ExecutionsSeen(models=("openai:gpt-x",))
PARTS = ("temporal", "server", "runner")


def shell(**said: str) -> Settings:
    variables = {option.name: option.variable for option in OPTIONS}
    environ = {variables[name]: text for name, text in said.items()}
    return load({}, {"STIGMER_HOME": str(HOME.path), **environ}, user_home=Path("/nowhere"))


def recorded(**said: str) -> SettingsRecord:
    return new_record().with_parts(shell(**said), PARTS, at="2026-01-01T00:00:00Z")


def facts(
    record: SettingsRecord | None, here: Settings, *, is_down: bool = False, models: ExecutionsSeen = CLEVER
) -> Facts:
    down = {"supervisor": DOWN, "endpoints": None} if is_down else {}
    return replace(healthy(executions=models, settings=here, **down), given=record)


async def test_equal_shell_settings_pass_and_others_are_reported_with_the_way_to_apply_them() -> None:
    record = recorded(openai_api_key="sk-a")
    assert (await started_settings.shell(facts(record, shell(openai_api_key="sk-a")))).result == "pass"

    running = await started_settings.shell(facts(record, shell(openai_api_key="sk-b")))
    assert (running.result, running.message.endswith("; stigmer restart runner")) == ("info", True)
    assert running.message.startswith(
        "this shell's settings differ from those the stack runs with: openai_api_key (runner)"
    )
    stopped = await started_settings.shell(facts(record, shell(openai_api_key="sk-b"), is_down=True))
    assert stopped.message.startswith("`stigmer up` in this shell would change: openai_api_key (runner): a value")
    assert "sk-" not in f"{running}{stopped}"
    assert (await started_settings.shell(facts(None, shell()))).result == "skip"


@pytest.mark.parametrize(
    ("before", "here", "hint"),
    [
        ({"database_url": PG}, {}, "export STIGMER_DATABASE_URL=... && stigmer up"),
        ({}, {"database_url": PG}, "unset STIGMER_DATABASE_URL && stigmer up"),
        ({"database_url": "sqlite:////one.db"}, {"database_url": PG}, "unset STIGMER_DATABASE_URL && stigmer up"),
    ],
)
async def test_a_shell_with_another_database_fails_once_the_stack_is_down(
    before: dict[str, str], here: dict[str, str], hint: str
) -> None:
    record = recorded(**before)
    stopped = await started_settings.database(facts(record, shell(**here), is_down=True))
    assert (stopped.result, stopped.hint) == ("fail", hint)
    assert "the executions of" in stopped.message
    running = await started_settings.database(facts(record, shell(**here)))
    assert running.result == "info", "the supervisor has the URL"
    assert "secret" not in f"{stopped}{running}"
    assert (await started_settings.database(facts(record, shell(**before), is_down=True))).result == "pass"


async def test_a_database_in_config_toml_is_taken_out_there(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'database_url = "{PG}"\n')
    here = load({}, {"STIGMER_HOME": str(tmp_path)}, user_home=Path("/nowhere"))
    found = await started_settings.database(facts(recorded(), here, is_down=True))
    assert found.hint == f"sed -i '/^database_url/d' {tmp_path}/config.toml && stigmer up"


async def test_parts_that_were_given_another_address_are_a_warning() -> None:
    record = recorded()
    assert (await started_settings.parts(facts(record, shell()))).result == "pass"
    apart = record.with_parts(shell(token="t-b", temporal_namespace="other"), ("runner",), at="")
    found = await started_settings.parts(facts(apart, shell()))
    assert (found.result, found.hint) == ("warn", "stigmer restart")
    assert found.message == "server and runner were given another temporal_namespace, another token"
    assert (await started_settings.parts(facts(None, shell()))).result == "info"
    assert (await started_settings.parts(facts(record, shell(), is_down=True))).result == "skip"


async def test_the_key_is_judged_by_what_the_runner_was_given() -> None:
    without, with_key = recorded(), recorded(openai_api_key="sk-a")

    missing = await configuration.models(facts(without, shell()))
    assert (missing.result, missing.hint) == ("warn", "export OPENAI_API_KEY=... && stigmer restart runner")
    here = await configuration.models(facts(without, shell(openai_api_key="sk-a")))
    assert (here.result, here.hint) == ("warn", "stigmer restart runner")
    assert (await configuration.models(facts(with_key, shell()))).result == "pass"
    assert (await configuration.models(facts(None, shell(openai_api_key="sk-a")))).result == "pass", "by hand"


def test_a_server_that_refuses_the_token_was_perhaps_given_another() -> None:
    why = "refuses the token of this command"
    assert started_settings.token_hint(facts(recorded(), shell()), why) == "stigmer restart server"
    assert (
        started_settings.token_hint(facts(recorded(token="t-a"), shell()), "connection refused")
        == "stigmer restart server"
    )
    assert started_settings.token_hint(facts(recorded(token="t-a"), shell()), why).startswith(
        "export STIGMER_TOKEN=...; it was set"
    )
