"""Checks of the categories Store, Executions and Configuration, each from plain facts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stigmer_cli.clock import iso
from stigmer_cli.doctor import executions
from stigmer_cli.doctor.checks import configuration, store
from stigmer_cli.doctor.facts.facts import Drift, ExecutionsSeen, Facts, HomeSeen, StoreSeen, TemporalSeen
from stigmer_cli.doctor.text import clock_time
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings, Source
from stigmer_cli.temporal.gateway import Poller
from tests.support.fakes import START
from tests.unit.doctor.plain import HOME, TEMPORAL, brief, execution, healthy, server

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


def having(*rows: object, **found: str) -> ExecutionsSeen:
    drifts = tuple(Drift(id=name, found=word, cause="Temporal has no workflow") for name, word in found.items())
    return ExecutionsSeen(open=tuple(rows), drifts=drifts)  # type: ignore[arg-type] # executions all


ONE = "aex-00000000000000000000000001"
ONE_QUEUED = f"1 execution ({ONE}; the oldest 1 min old) queued"
WAITS: dict[str, Any] = {"dispatch": {"detail": "Temporal unreachable"}}
LONG_AGO = iso(START - timedelta(hours=1))
WAIT = "stigmer doctor --wait=30"
NO_POLLERS = replace(TEMPORAL, pollers=())
STALE = Poller(identity="stigmer-runner/13@here", last_access_at=START - timedelta(seconds=200))
LOST: dict[str, Any] = {
    "phase": "IN_PROGRESS",
    "attention": {"code": "lost", "reason": "Temporal has no workflow", "since": iso(START)},
}
REFUSED: dict[str, Any] = {"attention": {"code": "submit-failed", "reason": "too large", "since": iso(START)}}


async def test_queued_while_temporal_is_away_is_a_warning_and_else_a_failure() -> None:
    seen = having(execution(**WAITS))
    assert brief(await executions.queued(healthy(executions=seen, server=server(since=LONG_AGO)))) == (
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
    orphan = healthy(executions=having(execution(dispatch=SUBMITTED), **{ONE: "orphan"}), temporal=NO_POLLERS)
    assert brief(await executions.orphaned(orphan)) == (
        "fail",
        f"1 execution ({ONE}; the oldest 1 min old) without a workflow in Temporal: Temporal has no workflow",
        "stigmer executions reconcile --yes",
    )
    assert (await executions.waiting(orphan)).result == "pass"


async def test_one_that_ended_in_temporal_is_behind_unless_a_person_has_to_look_anyway() -> None:
    seen = having(execution(phase="IN_PROGRESS", dispatch=SUBMITTED), **{ONE: "behind"})
    found = await executions.behind(healthy(executions=seen))
    assert (found.result, found.hint) == ("fail", "stigmer executions reconcile --yes")
    assert f"1 execution ({ONE}; the oldest 1 min old) ended in Temporal" in found.message
    assert (await executions.orphaned(healthy(executions=seen))).result == "pass"
    marked = having(execution(**LOST), **{ONE: "behind"})
    assert (await executions.behind(healthy(executions=marked))).result == "pass"


async def test_what_could_not_be_counted_to_the_end_is_counted_as_at_least() -> None:
    seen = replace(having(**{"aex-01kqrxnp6m8w8t6e3d2m5k7j9z": "orphan"}), is_whole=False)
    found = await executions.orphaned(healthy(executions=seen))
    assert found.message.startswith("at least 1 execution (aex-01kqrxnp6m8w8t6e3d2m5k7j9z; the oldest ")
    assert found.evidence["oldestAt"] == "2026-05-04T07:19:04.660000+00:00", "an id tells when it was made"
    cut = replace(having(execution(**WAITS)), is_cut=True)
    assert (await executions.queued(healthy(executions=cut))).message.startswith("at least 1 execution")
    assert (
        "as far as could be looked up"
        in (await executions.orphaned(healthy(executions=ExecutionsSeen(is_whole=False)))).message
    )


async def test_nothing_is_said_of_orphans_where_nobody_could_ask_temporal() -> None:
    seen = ExecutionsSeen(open=(execution(dispatch=SUBMITTED),), is_judged=False, is_whole=False)
    assert (await executions.orphaned(healthy(executions=seen))).result == "skip"
    assert (await executions.behind(healthy(executions=seen))).result == "skip"


async def test_what_was_brought_back_a_moment_ago_is_not_late_however_old_it_is() -> None:
    row = execution(dispatch=SUBMITTED | {"since": iso(START - timedelta(seconds=2))}, age_s=3600.0)
    assert (await executions.late(healthy(executions=having(row)))).result == "pass"
    assert (await executions.waiting(healthy(executions=having(row), temporal=NO_POLLERS))).result == "pass"


async def test_submitted_without_a_runner_is_a_failure_and_with_one_it_starts_late() -> None:
    row = execution(dispatch=SUBMITTED)
    busy = healthy(executions=having(row), temporal=replace(TEMPORAL, backlog=7))
    assert (await executions.waiting(busy)).result == "pass"
    assert brief(await executions.late(busy)) == (
        "warn",
        f"1 execution ({ONE}; the oldest 1 min old) submitted, and starting late: about 7 tasks wait in Temporal",
        "stigmer work",
    )
    unjudged = replace(having(row), is_whole=False, unjudged=frozenset({ONE}))
    assert (await executions.late(healthy(executions=unjudged))).result == "skip", "it may as well be an orphan"
    nobody = healthy(executions=having(row), temporal=NO_POLLERS)
    assert (await executions.late(nobody)).result == "pass"
    assert brief(await executions.waiting(nobody)) == (
        "fail",
        f"1 execution ({ONE}; the oldest 1 min old) submitted, and no runner is there to take them up",
        "stigmer restart runner",
    )


@pytest.mark.parametrize(
    "seen",
    [
        replace(TEMPORAL, gone=frozenset({"stigmer-runner/13@here"})),
        replace(TEMPORAL, pollers=(STALE,)),
    ],
    ids=["dead", "silent"],
)
async def test_a_runner_that_is_dead_or_silent_is_none(seen: TemporalSeen) -> None:
    facts = healthy(executions=having(execution(dispatch=SUBMITTED)), temporal=seen)
    assert (await executions.waiting(facts)).result == "fail"


async def test_where_we_cannot_see_who_polls_the_server_does() -> None:
    facts = healthy(executions=having(execution(dispatch=SUBMITTED)), temporal=replace(TEMPORAL, pollers=None))
    assert (await executions.waiting(facts)).result == "pass"


@pytest.mark.parametrize(
    ("dispatch", "since_s", "expected"),
    [
        ({"reason": "temporal-busy"}, 60, ("skip", "because STG212", "")),
        (
            {"detail": "too large", "nextTryAt": iso(START)},
            60,
            (
                "warn",
                f"{ONE_QUEUED}: too large; tried again at {clock_time(START)}",
                WAIT,
            ),
        ),
        (
            {"detail": "Temporal was away"},
            3,
            (
                "warn",
                f"{ONE_QUEUED}: Temporal was away; Temporal has just come back, they are on their way",
                WAIT,
            ),
        ),
    ],
)
async def test_what_is_tried_again_by_itself_is_no_failure_of_the_dispatcher(
    dispatch: dict[str, str], since_s: float, expected: tuple[str, str, str]
) -> None:
    seen = having(execution(dispatch=dispatch))
    facts = healthy(executions=seen, server=server(since=iso(START - timedelta(seconds=since_s))))
    assert brief(await executions.queued(facts)) == expected


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


async def test_a_lost_one_is_told_before_it_is_marked_and_many_are_not_all_named() -> None:
    names = {f"aex-{number:026d}": "lost" for number in range(1, 8)}
    found = await executions.lost(healthy(executions=having(**names)))
    assert found.message.startswith("7 executions (")
    assert found.message.endswith("lost in progress: Temporal has no workflow")
    assert found.hint == "stigmer executions reconcile --include-in-progress"


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
