"""Checks of category Temporal, each from plain facts."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.api.health import Health
from stigmer_cli.clock import iso
from stigmer_cli.doctor.checks import task_queue, temporal, temporal_service
from stigmer_cli.doctor.facts.facts import (
    EndpointSeen,
    Facts,
    HttpEndpoint,
    ServerSeen,
    TemporalSeen,
)
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.settings import Home, Settings, Source
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.settings_record import new_record
from stigmer_cli.temporal.gateway import Poller
from tests.support.fakes import START, ManualClock
from tests.unit.doctor.facts_builder import (
    ENDPOINTS,
    HOME,
    TEMPORAL,
    brief,
    child,
    having,
    health,
    healthy,
    probe,
    server,
    stuck,
)

AWAY = TemporalSeen(state="DISCONNECTED", cause="not answering")
NO_NAMESPACE = TemporalSeen(state="MISCONFIGURED", cause='namespace "default" not found')
DENIED = "Temporal at 127.0.0.1:7233 cannot be used: permission denied"
NO_SERVER = ServerSeen(url="u", why="connection refused")
CUT_OFF = server(state="DISCONNECTED", cause="connection refused", attempt=7)
THEIRS = replace(ENDPOINTS, temporal_port=None, temporal_address="10.0.0.1:7233")


async def test_a_refused_port_names_address_and_cause() -> None:
    endpoint = EndpointSeen(address="127.0.0.1:7233", namespace="default", is_own=True, why="connection refused")
    assert brief(await temporal.reachable(healthy(endpoint=endpoint))) == (
        "fail",
        "Temporal at 127.0.0.1:7233 cannot be reached from here: connection refused",
        "stigmer restart temporal",
    )
    assert (await temporal.reachable(healthy())).result == "pass"


async def test_a_port_that_takes_connections_is_not_yet_a_temporal_that_serves() -> None:
    assert brief(await temporal.serving(healthy(temporal=AWAY))) == (
        "fail",
        "Temporal at 127.0.0.1:7233 takes connections, but does not serve: not answering",
        "stigmer restart temporal",
    )
    assert (await temporal.serving(healthy(temporal=NO_NAMESPACE))).result == "pass"


async def test_a_missing_namespace_comes_with_the_command_that_makes_it() -> None:
    result, message, hint = brief(await temporal.namespace(healthy(temporal=NO_NAMESPACE)))
    assert (result, message) == ("fail", 'Temporal at 127.0.0.1:7233 cannot be used: namespace "default" not found')
    assert hint.endswith("temporal operator namespace create -n default --address 127.0.0.1:7233")


async def test_refused_credentials_are_not_taken_for_a_missing_namespace() -> None:
    refused = TemporalSeen(state="MISCONFIGURED", cause="permission denied")
    assert brief(await temporal.namespace(healthy(temporal=refused))) == (
        "fail",
        f"{DENIED}: it refuses our credentials, and its operator must let us in",
        "stigmer doctor --wait=30",
    )
    with_key = Settings(home=HOME, temporal_api_key_file="/run/my key")
    found = await temporal.namespace(healthy(temporal=refused, settings=with_key))
    assert found.hint == "ls -l '/run/my key'; stigmer doctor --wait=30"


async def test_the_founding_bug_has_its_own_finding() -> None:
    found = await temporal.founding(healthy(server=CUT_OFF))
    assert found.result == "fail"
    assert found.message.startswith(
        "this command reaches Temporal at 127.0.0.1:7233 (namespace default), but the server does not: "
        "the server is DISCONNECTED at 127.0.0.1:7233 since "
    )
    assert found.message.endswith("(connection refused), 7 tries")
    assert found.hint == "stigmer restart server"
    assert (await temporal.servers_view(healthy(server=CUT_OFF))).because == "STG205"


async def test_one_missed_probe_is_a_warning_only() -> None:
    assert (await temporal.founding(healthy(server=server(state="SUSPECT", cause="not answering")))).result == "warn"


async def test_the_servers_view_stands_for_itself_when_we_cannot_reach_temporal_either() -> None:
    found = await temporal.servers_view(healthy(server=CUT_OFF, temporal=AWAY))
    assert (found.result, found.hint) == ("fail", "stigmer doctor --wait=30")
    assert (await temporal.servers_view(healthy())).result == "pass"


@pytest.mark.parametrize(
    ("facts", "result", "hint"),
    [
        (healthy(), "pass", ""),
        (healthy(server=server(clusterId="another")), "fail", "stigmer restart server"),
        (healthy(server=server(namespace="other", namespaceId="n-2")), "fail", "stigmer restart"),
        (healthy(server=server(clusterId=None)), "skip", ""),
    ],
)
async def test_command_and_server_must_mean_the_same_temporal(facts: Facts, result: str, hint: str) -> None:
    found = await temporal.same(facts)
    assert (found.result, found.hint) == (result, hint)


async def test_a_temporal_in_memory_is_a_warning(tmp_path: Path) -> None:
    home = Home(path=tmp_path)
    settings = Settings(home=home)
    ephemeral = healthy(settings=settings, endpoints=replace(ENDPOINTS, ephemeral=True))
    assert (await temporal_service.remembers(ephemeral)).result == "warn"
    removed = await temporal_service.remembers(healthy(settings=settings))
    assert (removed.result, removed.hint) == ("fail", "stigmer down && stigmer up")
    home.data.mkdir()
    home.temporal_file.write_bytes(b"x")
    assert (await temporal_service.remembers(healthy(settings=settings))).message == "it keeps workflows in temporal.db"
    assert (await temporal_service.remembers(healthy(endpoints=THEIRS))).result == "skip"


@pytest.mark.parametrize(("ago_s", "result"), [(60, "warn"), (7200, "info")])
async def test_a_lost_memory_is_a_warning_for_an_hour(ago_s: float, result: str) -> None:
    at = iso(START - timedelta(seconds=ago_s))
    found = await temporal_service.memory(healthy(server=server(memoryLostAt=at)))
    assert found.result == result
    assert found.message.startswith("Temporal lost its memory at ")
    assert found.message.endswith(
        ": what was submitted before was unknown to it, and has been submitted again or ended"
    )


async def test_a_lost_memory_says_what_is_still_to_be_brought_back() -> None:
    waiting = having(stuck(StuckClass.ORPHAN, phase=Phase.PENDING))
    found = await temporal_service.memory(healthy(server=server(memoryLostAt=iso(START)), executions=waiting))
    assert found.message.endswith(
        ": what was submitted before was unknown to it; 1 execution of that to be brought back"
    )
    unknown = having(is_judged=False)
    found = await temporal_service.memory(healthy(server=server(memoryLostAt=iso(START)), executions=unknown))
    assert found.message.endswith(": what was submitted before was unknown to it")


async def test_a_lost_memory_is_the_cause_of_what_was_lost_with_it() -> None:
    name = "aex-01kqrxnp6m8w8t6e3d2m5k7j9z"
    forgotten = having(stuck(StuckClass.LOST, name))
    found = await temporal_service.memory(healthy(server=server(memoryLostAt=iso(START)), executions=forgotten))
    assert found.result == "fail"
    assert found.message.endswith(f"; 1 execution in progress then, which you must decide about: {name}")
    assert found.hint == f"stigmer executions reconcile {name} --include-in-progress"


async def test_failing_submits_are_reported_though_temporal_answers() -> None:
    assert (await temporal_service.takes_submits(healthy())).result == "pass"
    seen = server()
    assert seen.health
    reason = "Temporal answers, but submits have been failing since 12:00 (no room)"
    strained = replace(seen, health=seen.health.model_copy(update={"reasons": [reason]}))
    assert brief(await temporal_service.takes_submits(healthy(server=strained))) == (
        "fail",
        f"{reason}; they are tried again, more slowly, and wait in the queue meanwhile",
        "stigmer doctor --wait=30",
    )


@pytest.mark.parametrize(
    ("endpoints", "kept_s", "result", "hint"),
    [
        (ENDPOINTS, 30 * 86_400, "pass", ""),
        (ENDPOINTS, 86_400, "warn", "stigmer restart server"),
        (THEIRS, 86_400, "pass", ""),
        (THEIRS, 3_600, "warn", "namespace update -n default --retention 720h --address 10.0.0.1:7233"),
        (ENDPOINTS, None, "skip", ""),
    ],
)
async def test_retention(endpoints: Endpoints, kept_s: int | None, result: str, hint: str) -> None:
    seen = replace(TEMPORAL, retention_s=kept_s)
    found = await temporal_service.retention(healthy(endpoints=endpoints, temporal=seen))
    assert found.result == result
    assert found.hint.endswith(hint)


async def test_somebody_elses_temporal_that_is_away_is_waited_for() -> None:
    endpoint = EndpointSeen(address="10.0.0.1:7233", namespace="default", is_own=False, why="connection refused")
    assert (await temporal.reachable(healthy(endpoint=endpoint, endpoints=THEIRS))).hint == "stigmer doctor --wait=30"
    assert (await temporal.serving(healthy(temporal=AWAY, endpoints=THEIRS))).hint == "stigmer doctor --wait=30"


async def test_an_open_http_api_is_a_failure_and_a_closed_one_is_not() -> None:
    open_door = healthy(http_endpoints=(HttpEndpoint(port=40001, status=403), HttpEndpoint(port=40002, status=200)))
    assert (await temporal_service.http_api(open_door)).message == (
        "Temporal's HTTP API is open on port 40002: any web page could start workflows on this machine"
    )
    assert (
        await temporal_service.http_api(healthy(http_endpoints=(HttpEndpoint(port=40001, status=403),)))
    ).result == "pass"


def pollers(*seen: Poller) -> TemporalSeen:
    return replace(TEMPORAL, pollers=seen)


OLD = Poller(identity="stigmer-runner/13@here", last_access_at=START - timedelta(seconds=200))
OTHER = Poller(identity="stigmer-runner/99@there", last_access_at=START)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(), ("pass", "1 runner polling, seen 0s ago", "")),
        (
            healthy(temporal=pollers(OLD)),
            ("fail", "the runner (pid 13) is alive, but does not ask Temporal for work", "stigmer restart runner"),
        ),
        (
            healthy(temporal=replace(TEMPORAL, pollers=(OTHER,), gone=frozenset({OTHER.identity}))),
            ("fail", "the runner (pid 13) is alive, but does not ask Temporal for work", "stigmer restart runner"),
        ),
        (
            healthy(temporal=pollers(OTHER)),
            (
                "warn",
                "the runner (pid 13) is alive, but does not ask Temporal for work; others do",
                "stigmer restart runner",
            ),
        ),
        (
            healthy(temporal=pollers(), supervisor=probe(child("runner", uptime_s=1.0))),
            ("warn", "the runner (pid 13) just started and does not poll yet", "stigmer doctor --wait=10"),
        ),
        (
            healthy(temporal=pollers(), endpoints=None),
            ("fail", 'no runner asks the task queue "stigmer" for work: what is submitted waits', "stigmer work"),
        ),
        (
            healthy(
                temporal=replace(TEMPORAL, gone=frozenset(one.identity for one in TEMPORAL.pollers or ())),
                supervisor=replace(probe(), record=replace(probe().record, namespace="pid:[1]")),  # type: ignore[type-var]
            ),
            ("pass", "1 runner polling, seen 0s ago", ""),
        ),
        (healthy(temporal=replace(TEMPORAL, pollers=None)), ("skip", "Temporal did not say in time who polls", "")),
    ],
)
async def test_who_polls(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await task_queue.polled(facts)) == expected


@pytest.mark.parametrize("by_s", [3600, -3600])
async def test_pollers_are_reported_whatever_the_clock_of_this_command_says(by_s: float) -> None:
    clock = ManualClock()
    clock.set(by_s)
    assert brief(await task_queue.polled(healthy(clock=clock))) == ("pass", "1 runner polling, seen 0s ago", "")
    told = health().model_dump(mode="json", by_alias=True)
    told["taskQueue"]["pollers"][0]["silentS"] = 80.0
    heard = Health.model_validate(told)
    silent = await task_queue.polled(healthy(clock=clock, server=ServerSeen(url="http://x", health=heard)))
    assert silent.message == "the runner (pid 13) is alive, but does not ask Temporal for work"


@pytest.mark.parametrize(("number", "result"), [(None, "skip"), (0, "pass"), (5, "info"), (500, "warn")])
async def test_a_large_backlog_is_a_warning(number: int | None, result: str) -> None:
    assert (await task_queue.backlog(healthy(temporal=replace(TEMPORAL, backlog=number)))).result == result


async def test_without_a_server_its_view_is_not_judged() -> None:
    facts = healthy(server=NO_SERVER)
    found = [await look_at(facts) for look_at in (temporal.servers_view, temporal.founding, temporal.same)]
    assert [str(one.result) for one in found] == ["skip", "skip", "skip"]


TOLD = Settings(home=HOME, temporal_address="t:1", sources={"temporal_address": Source.ENVIRONMENT})
KEPT = Settings(home=HOME, temporal_address="t:1", sources={"temporal_address": Source.RECORD})
STARTED = new_record().with_parts(replace(TOLD, temporal_address="before:1"), ("server",), at="")


@pytest.mark.parametrize(
    ("facts", "origin"),
    [
        ({"settings": TOLD, "given": None}, " (temporal_address is from STIGMER_TEMPORAL_ADDRESS)"),
        (
            {"settings": TOLD, "given": STARTED},
            " (temporal_address is from STIGMER_TEMPORAL_ADDRESS; the last start had before:1)",
        ),
        (
            {"settings": KEPT, "given": STARTED},
            " (temporal_address is that of the last start of this stack; `stigmer up --new-settings` forgets it)",
        ),
        ({"settings": Settings(home=HOME), "given": None}, ""),
    ],
)
async def test_while_no_stack_runs_an_address_that_fails_is_told_with_where_it_comes_from(
    facts: dict[str, Any], origin: str
) -> None:
    away = EndpointSeen(address="t:1", namespace="default", is_own=False, why="connection refused")
    found = await temporal.reachable(healthy(endpoint=away, endpoints=None, **facts))
    assert found.message == f"Temporal at t:1 cannot be reached from here: connection refused{origin}"


async def test_a_stack_that_runs_has_its_addresses_whatever_this_shell_says() -> None:
    away = EndpointSeen(address="t:1", namespace="default", is_own=False, why="connection refused")
    found = await temporal.reachable(healthy(endpoint=away, settings=TOLD))
    assert found.message == "Temporal at t:1 cannot be reached from here: connection refused"
