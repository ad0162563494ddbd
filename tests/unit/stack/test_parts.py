"""The three processes of the local stack."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Home, Settings, Source, load
from stigmer_cli.stack.contradictions import refuse_contradictions
from stigmer_cli.stack.endpoints_file import read_endpoints, write_endpoints
from stigmer_cli.stack.logs import stamp_of
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import build_parts, check_local, endpoints_of, local
from stigmer_cli.stack.restart import restart
from stigmer_cli.stack.up import UpContext
from stigmer_cli.supervisor.spec import SourceFilter
from stigmer_cli.temporal.dev_server import HttpEndpoints
from tests.support.fakes import ManualClock
from tests.support.stub_stack import Silence

EPHEMERAL = StackOptions(ephemeral=True)
HTTP_ENDPOINTS = HttpEndpoints(source="127.4.5.6", ui_port=20001, http_port=20002, metrics_port=20003)


def settings_of(home: Home, flags: Mapping[str, str | None] | None = None) -> Settings:
    return load(flags or {}, {"STIGMER_HOME": str(home.path)}, user_home=Path("/nowhere"))


def test_a_stack_is_temporal_server_and_runner_and_temporal_stops_last(home: Home) -> None:
    parts = build_parts(settings_of(home), EPHEMERAL, {})

    assert [(part.name, part.stop_order) for part in parts] == [("temporal", 2), ("server", 1), ("runner", 0)]
    assert sum(part.stop_grace_s for part in parts) <= 9.0
    assert parts[1].argv == (sys.executable, "-P", "-m", "stigmer_cli.cli", "serve")
    assert parts[2].argv == (sys.executable, "-P", "-m", "stigmer_cli.cli", "work")


def test_a_temporal_of_somebody_else_is_not_started(home: Home) -> None:
    settings = settings_of(home, {"temporal_address": "far:7233"})

    assert [part.name for part in build_parts(settings, StackOptions(), {})] == ["server", "runner"]


def test_children_get_the_whole_environment_with_the_settings_on_top(home: Home) -> None:
    settings = local(settings_of(home, {"server_port": "9000", "token": "t0ken"}))
    environ = {"PATH": "/bin", "STIGMER_SERVER_URL": "http://elsewhere:1", "PYTHONIOENCODING": "utf-16"}

    env = build_parts(settings, EPHEMERAL, environ)[1].env

    assert env["PATH"] == "/bin"
    assert env["STIGMER_SERVER_URL"] == "http://127.0.0.1:9000"
    assert env["STIGMER_TOKEN"] == "t0ken"
    assert env["PYTHONUNBUFFERED"] == "1"
    assert env["PYTHONIOENCODING"] == "utf-8"
    again = load({}, env, user_home=Path("/nowhere"))
    assert again == settings


def test_no_secret_stands_in_a_command_line(home: Home) -> None:
    settings = settings_of(home, {"token": "s3cr3t", "database_url": "postgresql://u:s3cr3t@h/d"})

    assert all("s3cr3t" not in word for part in build_parts(settings, EPHEMERAL, {}) for word in part.argv)


def test_ephemeral_keeps_temporal_in_memory_and_headless_without_its_ui(home: Home) -> None:
    options = StackOptions(ephemeral=True, headless=True)

    argv = build_parts(settings_of(home), options, {})[0].argv

    assert "--db-filename" not in argv
    assert "--headless" in argv
    assert endpoints_of(settings_of(home), options, ManualClock()).ui_url is None


def test_endpoints_read_back_are_those_written(home: Home) -> None:
    home.run.mkdir()
    found = endpoints_of(
        settings_of(home, {"server_port": "9000"}), StackOptions(http_endpoints=HTTP_ENDPOINTS), ManualClock()
    )
    write_endpoints(home, found)

    assert read_endpoints(home) == found
    assert found.server_url == "http://127.0.0.1:9000"
    assert found.ports == {"temporal": (7233, 20001), "server": (9000,)}
    assert found.ui_url == "http://127.0.0.1:9000/ui"
    assert found.http_endpoints == HTTP_ENDPOINTS


def test_the_state_file_of_an_older_version_is_read(home: Home) -> None:
    home.run.mkdir()
    found = endpoints_of(settings_of(home), StackOptions(http_endpoints=HTTP_ENDPOINTS), ManualClock())
    older = {name: value for name, value in asdict(found).items() if name not in ("ui_source", "http_port")}
    (home.run / "stack.json").write_text(json.dumps(older))

    assert read_endpoints(home) == replace(found, ui_source=None, http_port=None)


def test_temporals_http_ports_are_the_drawn_ones_and_closed_but_for_the_drawn_address(home: Home) -> None:
    temporal, server, _ = build_parts(
        settings_of(home), StackOptions(http_endpoints=HTTP_ENDPOINTS), {"STIGMER_UI_ADDRESS": "old:1"}
    )

    assert "--ui-ip 127.4.5.6 --ui-port 20001" in " ".join(temporal.argv)
    assert temporal.source_filter == SourceFilter(ports=(20001, 20002, 20003), source="127.4.5.6")
    assert server.env["STIGMER_UI_ADDRESS"] == "127.4.5.6:20001"


def test_a_stack_without_a_ui_shows_none_whatever_the_shell_says(home: Home) -> None:
    http_endpoints = replace(HTTP_ENDPOINTS, ui_port=None)
    _, server, _ = build_parts(
        settings_of(home), StackOptions(http_endpoints=http_endpoints), {"STIGMER_UI_ADDRESS": "old:1"}
    )

    assert "STIGMER_UI_ADDRESS" not in server.env


def test_parts_created_again_have_the_ports_that_the_running_stack_recorded(home: Home) -> None:
    home.run.mkdir()
    write_endpoints(home, endpoints_of(settings_of(home), StackOptions(http_endpoints=HTTP_ENDPOINTS), ManualClock()))

    assert "--ui-ip 127.4.5.6 --ui-port 20001" in " ".join(build_parts(settings_of(home), StackOptions(), {})[0].argv)


def test_the_ui_of_a_temporal_that_somebody_else_runs_is_the_one_that_was_named(home: Home) -> None:
    settings = settings_of(home, {"temporal_address": "far:7233", "ui_address": "far:8233"})

    assert build_parts(settings, StackOptions(), {})[0].env["STIGMER_UI_ADDRESS"] == "far:8233"
    found = endpoints_of(settings, StackOptions(), ManualClock())
    assert (found.ui_url, found.ui_port, found.http_endpoints) == ("http://127.0.0.1:7234/ui", None, None)


@pytest.mark.parametrize("text", ["", "{}", "[]", "\xff", '{"server_url": 1}'])
def test_an_illegible_state_file_is_no_stack(home: Home, text: str) -> None:
    home.run.mkdir()
    (home.run / "stack.json").write_text(text, encoding="latin-1")

    assert read_endpoints(home) is None


@pytest.mark.parametrize(
    ("flags", "options", "message"),
    [
        ({"server_port": "9000"}, StackOptions(), "--port 9000 was asked for, but the stack runs --port 7234"),
        (
            {"temporal_address": "far:7233"},
            StackOptions(),
            "--temporal-address far:7233 was asked for, but the stack runs --temporal-address 127.0.0.1:7233",
        ),
        ({}, EPHEMERAL, "--ephemeral was asked for, but the stack runs with a Temporal that keeps its memory"),
        (
            {},
            StackOptions(headless=True),
            "--no-ui was asked for, but the stack runs with Temporal's web UI at http://127.0.0.1:7234/ui",
        ),
    ],
)
def test_a_flag_that_contradicts_what_runs_is_refused(
    home: Home, flags: dict[str, str | None], options: StackOptions, message: str
) -> None:
    running = endpoints_of(settings_of(home), StackOptions(http_endpoints=HTTP_ENDPOINTS), ManualClock())

    with pytest.raises(ConfigError) as refused:
        refuse_contradictions(settings_of(home, flags), options, running)

    assert refused.value.message == message
    assert refused.value.hint.startswith("stigmer down, then stigmer up --")


def test_only_what_was_typed_can_contradict(home: Home) -> None:
    running = replace(endpoints_of(settings_of(home), StackOptions(), ManualClock()), server_port=9000)
    settings = settings_of(home)

    assert settings.sources["server_port"] is Source.DEFAULT
    refuse_contradictions(settings, StackOptions(), running)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"timestamp": "2026-05-04T12:03:11.042Z", "event": "x"}', "2026-05-04T12:03:11.042000+00:00"),
        ('{"time":"2026-05-04T14:03:11.042123+02:00","msg":"x"}', "2026-05-04T12:03:11.042123+00:00"),
        ("time=2026-05-04T12:03:11.042Z level=INFO", "2026-05-04T12:03:11.042000+00:00"),
        ("Traceback (most recent call last):", None),
        ("{not json", None),
        ('{"timestamp": 7}', None),
    ],
)
def test_the_time_of_a_line_is_the_one_it_bears(line: str, expected: str | None) -> None:
    found = stamp_of(line)

    assert (found.isoformat() if found else None) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"listen": "10.0.0.5"},
        {"behind_proxy": True},
        {"tls_cert_file": "/run/cert.pem", "tls_key_file": "/run/key.pem"},
    ],
)
def test_a_stack_for_this_machine_refuses_settings_for_a_server_that_others_reach(
    home: Home, changes: Mapping[str, object]
) -> None:
    check_local(settings_of(home))
    with pytest.raises(ConfigError, match="starts a stack for this machine only") as caught:
        check_local(replace(settings_of(home), **changes))  # type: ignore[arg-type]
    assert "stigmer serve and stigmer work are for several machines" in caught.value.hint


async def test_a_restart_refuses_them_before_anything_is_stopped(home: Home) -> None:
    (home.run).mkdir()
    (home.run / "stack.json").write_text("what runs now")
    far = replace(settings_of(home), listen="10.0.0.5")
    around = UpContext(clock=ManualClock(), environ={})
    with pytest.raises(ConfigError, match="for this machine only"):
        await restart(far, StackOptions(), progress=Silence(), around=around)
    assert (home.run / "stack.json").read_text() == "what runs now"
