"""Checks of the categories Store, Executions and Configuration, each from plain facts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stigmer_cli.clock import iso
from stigmer_cli.doctor import configuration, executions, store
from stigmer_cli.doctor.facts import ExecutionsSeen, Facts, HomeSeen, StoreSeen
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings, Source
from tests.fakes import START
from tests.unit.doctor.plain import HOME, brief, execution, healthy, server

FILE = HOME.store_file
RECOVER = f"stigmer down; sqlite3 {FILE} .recover | sqlite3 {FILE}.recovered"
BACKUPS = "stigmer down; ls -l /home/ada/.stigmer/data/backups"
SUBMITTED = {"state": "submitted", "since": iso(START - timedelta(seconds=60)), "runId": "r"}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (StoreSeen(path=FILE, size=1), ("pass", "stigmer.db is there", "")),
        (StoreSeen(path=None), ("skip", "the database is not a file of this machine", "")),
        (
            StoreSeen(path=FILE, exists=False),
            ("fail", f"{FILE} was removed while the stack runs; nothing is accepted", BACKUPS),
        ),
        (
            StoreSeen(path=FILE, size=0, has_header=False),
            ("fail", f"{FILE} is empty; it is left as it is", BACKUPS),
        ),
        (
            StoreSeen(path=FILE, size=9, has_header=False),
            ("fail", f"{FILE} is not a SQLite database: its header is damaged; it is left as it is", RECOVER),
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


def having(*rows: object, **temporal: str) -> ExecutionsSeen:
    return ExecutionsSeen(open=tuple(rows), in_temporal=temporal)  # type: ignore[arg-type] # executions all


ONE = "aex-00000000000000000000000001"
WAITS: dict[str, Any] = {"dispatch": {"detail": "Temporal unreachable"}}
LOST: dict[str, Any] = {
    "phase": "IN_PROGRESS",
    "attention": {"code": "lost", "reason": "Temporal has no workflow", "since": iso(START)},
}
REFUSED: dict[str, Any] = {"attention": {"code": "submit-failed", "reason": "too large", "since": iso(START)}}


async def test_queued_while_temporal_is_away_is_a_warning_and_else_a_failure() -> None:
    seen = having(execution(**WAITS))
    assert brief(await executions.queued(healthy(executions=seen))) == (
        "fail",
        f"1 execution ({ONE}; the oldest 1 min old) queued: Temporal unreachable",
        "stigmer restart server",
    )
    away = await executions.queued(healthy(executions=seen, server=server(state="DISCONNECTED")))
    assert (away.result, away.hint) == ("warn", "stigmer doctor --wait=30")


async def test_up_to_five_ids_are_named_and_the_rest_counted() -> None:
    found = await executions.queued(healthy(executions=having(*(execution(number) for number in range(1, 8)))))
    assert " and 2 more; the oldest 1 min old) queued" in found.message
    assert found.evidence["count"] == 7
    assert isinstance(found.evidence["ids"], list)
    assert len(found.evidence["ids"]) == 5


async def test_what_was_accepted_a_moment_ago_is_not_stuck() -> None:
    assert (await executions.queued(healthy(executions=having(execution(age_s=2))))).result == "pass"


async def test_an_orphan_is_told_from_one_that_waits_for_a_runner() -> None:
    orphan = healthy(executions=having(execution(dispatch=SUBMITTED), **{ONE: "gone"}))
    assert brief(await executions.orphaned(orphan)) == (
        "fail",
        f"1 execution ({ONE}; the oldest 1 min old) without a workflow in Temporal",
        "stigmer executions reconcile --yes",
    )
    assert (await executions.waiting(orphan)).result == "pass"


async def test_submitted_without_a_runner_is_a_failure_and_with_one_it_starts_late() -> None:
    row = execution(dispatch=SUBMITTED)
    late = await executions.waiting(healthy(executions=having(row, **{ONE: "open"})))
    assert (late.result, late.hint) == ("warn", "stigmer work")
    seen = server()
    assert seen.health
    queue = seen.health.task_queue.model_copy(update={"pollers": []})
    nobody = replace(seen, health=seen.health.model_copy(update={"task_queue": queue}))
    found = await executions.waiting(healthy(executions=having(row), server=nobody))
    assert brief(found) == (
        "fail",
        f"1 execution ({ONE}; the oldest 1 min old) submitted, and no runner is there to take them up",
        "stigmer restart runner",
    )


async def test_while_temporal_is_away_nothing_is_said_about_runners() -> None:
    facts = healthy(executions=having(execution(dispatch=SUBMITTED)), server=server(state="DISCONNECTED"))
    found = await executions.waiting(facts)
    assert found.result == "warn"
    assert "cannot be told while Temporal is away" in found.message


async def test_lost_and_refused_ones_are_told_apart_with_the_command_for_each() -> None:
    facts = healthy(executions=having(execution(1, **LOST), execution(2, dispatch=SUBMITTED, **REFUSED)))
    assert brief(await executions.lost(facts)) == (
        "fail",
        f"1 execution ({ONE}; the oldest 1 min old) lost in progress: Temporal has no workflow",
        f"stigmer executions reconcile {ONE} --include-in-progress",
    )
    two = "aex-00000000000000000000000002"
    assert brief(await executions.attention(facts)) == (
        "fail",
        f"1 execution ({two}; the oldest 1 min old) in need of attention: too large",
        f"stigmer executions reconcile {two}",
    )
    assert (await executions.waiting(facts)).result == "pass"


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
        "agents use openai:gpt-x, and neither OPENAI_API_KEY nor OPENAI_BASE_URL is set here"
    )
    local = Settings(home=HOME, openai_base_url="http://127.0.0.1:11434/v1")
    assert (await configuration.models(healthy(executions=needy, settings=local))).result == "pass"
