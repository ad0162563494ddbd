"""Checks of the categories Store and Configuration, each from plain facts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.clock import iso
from stigmer_cli.doctor.checks import configuration, store
from stigmer_cli.doctor.facts.facts import ExecutionsSeen, Facts, HomeSeen, StoreSeen
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings, Source
from tests.support.fakes import START
from tests.unit.doctor.plain import HOME, brief, healthy, server

FILE = HOME.store_file
DAMAGED = f"{HOME.data}/damaged-20260504-120000"
NO_HEADER = f"{FILE} is not a SQLite database: its header is damaged"
ASIDE = f"stigmer down; mkdir -p {DAMAGED} && mv {FILE}* {DAMAGED}/"
DUMP = f"sqlite3 -readonly {DAMAGED}/stigmer.db .dump | sed 's/^ROLLBACK;.*/COMMIT;/'"
RECOVER = f"{ASIDE} && {DUMP} | sqlite3 {FILE} && stigmer up"
ASIDE_ONLY = (
    "it is left as it is, and no copy of it is there: what remains is to move it aside and begin with an empty one"
)
COPY = HOME.data / "backups" / "stigmer.db.7"
SUBMITTED = {"state": "submitted", "since": iso(START - timedelta(seconds=60)), "runId": "r"}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (StoreSeen(path=FILE, size=1), ("pass", "stigmer.db is there", "")),
        (StoreSeen(path=None), ("skip", "the database is not a file of this machine", "")),
        (
            StoreSeen(path=FILE, exists=False),
            (
                "fail",
                f"{FILE} was removed while the stack runs; nothing is accepted",
                f"stigmer down; mkdir -p {DAMAGED} && true && stigmer up",
            ),
        ),
        (
            StoreSeen(path=FILE, size=0, has_header=False),
            ("fail", f"{FILE} is empty; {ASIDE_ONLY}", f"{ASIDE} && stigmer up"),
        ),
        (
            StoreSeen(path=FILE, size=9, has_header=False),
            ("fail", f"{NO_HEADER}; {ASIDE_ONLY}", f"{ASIDE} && stigmer up"),
        ),
        (
            StoreSeen(path=FILE, size=9, has_header=False, newest_copy=COPY),
            (
                "fail",
                f"{NO_HEADER}; it is left as it is, and the copy of before the last upgrade is stigmer.db.7",
                f"{ASIDE} && cp {COPY} {FILE} && stigmer up",
            ),
        ),
        (
            StoreSeen(path=FILE, why_unreadable="Permission denied"),
            ("fail", f"{FILE} cannot be read: Permission denied", f"ls -l {FILE}"),
        ),
    ],
)
async def test_store_file(seen: StoreSeen, expected: tuple[str, str, str]) -> None:
    assert brief(await store.file(healthy(store=seen))) == expected


async def test_a_store_that_was_never_made_is_no_failure() -> None:
    never = healthy(store=StoreSeen(path=FILE, exists=False), endpoints=None)
    assert (await store.file(never)).result == "skip"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (StoreSeen(path=FILE, size=9), ("pass", "quick_check finds nothing", "")),
        (
            StoreSeen(path=FILE, size=9, integrity="database disk image is malformed"),
            ("fail", f"{FILE} is damaged: database disk image is malformed; it is left as it is", RECOVER),
        ),
        (
            StoreSeen(path=FILE, size=9, integrity="malformed", can_salvage=False),
            ("fail", f"{FILE} is damaged: malformed; it is left as it is", f"{ASIDE} && stigmer up"),
        ),
        (StoreSeen(path=FILE, integrity=""), ("skip", "the file is locked just now", "")),
    ],
)
async def test_integrity(seen: StoreSeen, expected: tuple[str, str, str]) -> None:
    assert brief(await store.integrity(healthy(store=seen))) == expected


async def test_a_log_that_only_grows_is_a_warning() -> None:
    assert (await store.room(healthy())).message == "4.0 KiB, its log 0 B"
    grown = StoreSeen(path=FILE, size=9, wal_size=1 << 30)
    assert (await store.room(healthy(store=grown))).result == "warn"


async def test_what_the_server_says_of_its_database_is_told() -> None:
    assert (await store.usable(healthy())).result == "pass"
    seen = server()
    assert seen.health
    broken = replace(
        seen,
        health=seen.health.model_copy(update={"store": seen.health.store.model_copy(update={"error": "disk full"})}),
    )
    assert (await store.usable(healthy(server=broken))).message == "the server cannot use its database: disk full"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(), ("pass", "all settings are valid", "")),
        (
            healthy(problem=ConfigError("config.toml: there is no setting 'x'")),
            ("fail", "config.toml: there is no setting 'x'", "${EDITOR:-vi} /home/ada/.stigmer/config.toml"),
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


async def test_what_is_set_is_told_with_its_layer_and_without_its_value() -> None:
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
    assert found.message == "agents use gpt-x, and nobody answers for that: echo, echo:slow or openai:NAME"
