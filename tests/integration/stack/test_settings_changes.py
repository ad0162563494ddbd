"""What parts are given: addresses of before, settings and keys of whoever asks, and a record that says so."""

import json
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace

import psutil
import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import ConfigError, TimedOut
from stigmer_cli.settings import Settings, Source
from stigmer_cli.stack.down import down
from stigmer_cli.stack.failure import StartFailed
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.restart import restart, restart_part
from stigmer_cli.stack.settings_record import read_settings_record
from stigmer_cli.stack.up import Ready, up
from stigmer_cli.supervisor.spec import ChildSpec
from tests.support.polling import until_true
from tests.support.stub_stack import Stack
from tests.support.temporal_server import free_port

CLOCK = SystemClock()
WITH_KEY = "import os; os.environ['OPENAI_API_KEY']"
POSTGRESQL = "postgresql://me:a-password@db.example:5432/work"
SHOWN = "postgresql://me@db.example:5432/work"


class NeedsKey(Stack):
    """A stack whose runner does not start without a key."""

    def build(self, settings: Settings, options: StackOptions, environ: Mapping[str, str]) -> tuple[ChildSpec, ...]:
        parts = super().build(settings, options, environ)
        code = {part.name: part.argv[2] for part in parts} | {"runner": f"{WITH_KEY}\n{parts[-1].argv[2]}"}
        return tuple(replace(part, argv=(*part.argv[:2], code[part.name], *part.argv[3:])) for part in parts)


def environment_of(stack: Stack, part: str) -> dict[str, str]:
    return psutil.Process(stack.processes()[part].pid).environ()


async def restarted(stack: Stack, part: str) -> Ready:
    return await restart_part(stack.settings(), part, StackOptions(), progress=stack.progress, around=stack.around)


async def restarted_whole(stack: Stack) -> Ready:
    return await restart(stack.settings(), StackOptions(), progress=stack.progress, around=stack.around)


async def started(stack: Stack, options: StackOptions) -> Ready:
    return await up(stack.settings(), options, progress=stack.progress, around=stack.around)


async def test_a_part_is_given_the_key_of_who_asks_also_after_it_was_unset(stack: Stack) -> None:
    first = stack.shell(OPENAI_API_KEY="first", SOME_VARIABLE="first")
    await first.up()
    assert environment_of(stack, "runner")["OPENAI_API_KEY"] == "first"

    second = stack.shell(OPENAI_API_KEY="second")
    ready = await restarted(second, "runner")

    found = environment_of(stack, "runner")
    assert found["OPENAI_API_KEY"] == "second"
    assert "SOME_VARIABLE" not in found
    assert environment_of(stack, "server")["OPENAI_API_KEY"] == "first", "the others were not started"
    assert [change.name for change in ready.changes] == ["openai_api_key"]
    assert len(second.told) == 1
    assert second.told[0].startswith("changed: openai_api_key (runner): a value (OPENAI_API_KEY, fingerprint ")
    assert "second" not in second.told[0]

    bare = stack.shell()
    await restarted(bare, "runner")

    assert "OPENAI_API_KEY" not in environment_of(stack, "runner")
    assert bare.told[0].endswith(" -> not set")


async def test_up_brings_a_dead_part_back_with_the_settings_of_today(stack: Stack) -> None:
    needy = NeedsKey(home=stack.home, ports=stack.ports)
    await needy.shell(OPENAI_API_KEY="of the first shell").up()
    with pytest.raises(StartFailed, match="runner does not start"):
        await restarted(needy.shell(), "runner")

    ready = await needy.shell(OPENAI_API_KEY="of today").up()

    assert ready.started == ("runner",)
    assert [change.name for change in ready.changes] == ["openai_api_key"]
    assert environment_of(stack, "runner")["OPENAI_API_KEY"] == "of today"


async def test_up_on_a_healthy_stack_names_what_it_would_change_and_changes_nothing(stack: Stack) -> None:
    await stack.up()
    before = stack.processes()
    written = (stack.home.data / "stack-settings.json").read_bytes()

    ready = await stack.shell(STIGMER_SUBMIT_POLICY="fail-fast", STIGMER_SERVER_PORT="9").up()

    port = stack.ports["STIGMER_SERVER_PORT"]
    assert [str(change) for change in ready.pending] == [
        f"server_port (server, runner): {port} (STIGMER_SERVER_PORT) -> 9 (STIGMER_SERVER_PORT)",
        "submit_policy (server): queue (the default) -> fail-fast (STIGMER_SUBMIT_POLICY)",
    ]
    assert (ready.changes, ready.started) == ((), ())
    assert stack.processes() == before
    assert (stack.home.data / "stack-settings.json").read_bytes() == written


async def test_a_part_started_alone_keeps_the_addresses_and_the_token_of_the_others(stack: Stack) -> None:
    await stack.up()

    other = stack.shell(
        STIGMER_TEMPORAL_ADDRESS="elsewhere:7233",
        STIGMER_DATABASE_URL=POSTGRESQL,
        STIGMER_TOKEN="another",
        STIGMER_LOG_LEVEL="debug",
    )
    ready = await restarted(other, "server")

    found = environment_of(stack, "server")
    assert found["STIGMER_LOG_LEVEL"] == "debug"
    assert not {"STIGMER_TEMPORAL_ADDRESS", "STIGMER_DATABASE_URL", "STIGMER_TOKEN"} & set(found)
    assert [change.name for change in ready.changes] == ["log_level"]
    assert [change.name for change in ready.pending] == ["temporal_address", "database_url", "token", "log_level"]
    assert ready.pending[-1].parts == ("runner",)


async def test_config_toml_is_not_read_again_when_a_part_crashes(stack: Stack) -> None:
    await stack.up()
    stack.home.config_file.write_text('temporal_address = "elsewhere:7233"\nno_such_thing = 1\n')

    assert environment_of(stack, "server")["STIGMER_SETTLED"] == "true"


async def test_addresses_of_before_count_where_nothing_is_said_and_are_forgotten_when_asked(stack: Stack) -> None:
    first = await stack.shell(STIGMER_TEMPORAL_NAMESPACE="work").up()
    await down(stack.home, clock=CLOCK)

    quiet = stack.shell(without_ports=True)
    again = await quiet.up()

    assert again.endpoints.ports["server"] == first.endpoints.ports["server"]
    assert again.endpoints.temporal_address == first.endpoints.temporal_address
    assert again.endpoints.namespace == "work"
    assert quiet.told == []
    record = read_settings_record(stack.home)
    assert record is not None
    given = record.find_given("temporal_namespace")
    assert given is not None
    assert given.source is Source.ENVIRONMENT, "who said so first is not forgotten"
    with pytest.raises(ConfigError, match="--new-settings was asked for, but the stack runs with what it was started"):
        await started(quiet, StackOptions(new_settings=True))
    await down(stack.home, clock=CLOCK)

    fresh = stack.shell()
    ready = await started(fresh, StackOptions(new_settings=True))

    assert ready.endpoints.namespace == "default"
    assert "changed: temporal_namespace (temporal, server, runner): work (STIGMER_TEMPORAL_NAMESPACE)" in fresh.told[0]


async def test_ports_that_were_drawn_stay(stack: Stack) -> None:
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        drawn = await started(
            stack.shell(STIGMER_SERVER_PORT=str(taken)), StackOptions(auto_ports=True, wait_timeout_s=20)
        )
    assert drawn.endpoints.server_port != taken
    await down(stack.home, clock=CLOCK)

    again = await stack.shell(without_ports=True).up()

    assert again.endpoints.server_port == drawn.endpoints.server_port


async def test_the_database_with_a_password_is_named_and_not_written_down(stack: Stack) -> None:
    await stack.shell(STIGMER_DATABASE_URL=POSTGRESQL).up()
    files = [path for path in stack.home.path.rglob("*") if path.is_file()]
    assert [path for path in files if b"a-password" in path.read_bytes()] == []
    found = json.loads((stack.home.data / "stack-settings.json").read_text())
    assert found["parts"]["server"]["database_url"]["value"] == SHOWN
    assert (stack.home.data / "stack-settings.json").stat().st_mode & 0o777 == 0o600

    # A restart gets the URL from the supervisor, whoever asks.
    await restarted_whole(stack)
    assert environment_of(stack, "server")["STIGMER_DATABASE_URL"] == POSTGRESQL
    await restarted(stack, "server")
    assert environment_of(stack, "server")["STIGMER_DATABASE_URL"] == POSTGRESQL

    stack.processes()["supervisor"].send(signal.SIGKILL)
    await until_true(lambda: "supervisor" not in stack.processes(), "dead")
    with pytest.raises(ConfigError, match="its password is not recorded") as refused:
        await stack.up()
    assert SHOWN in refused.value.message
    assert refused.value.hint.startswith("export STIGMER_DATABASE_URL=..., or to leave them and begin with sqlite:///")

    same = stack.shell(STIGMER_DATABASE_URL=POSTGRESQL.replace("a-password", "rotated"))
    ready = await same.up()
    assert [change.name for change in ready.changes] == ["database_url"]
    assert "rotated" not in same.told[0]


async def test_another_database_is_refused_before_anything_is_stopped(stack: Stack) -> None:
    await stack.up()
    before = stack.processes()
    other = stack.shell(STIGMER_DATABASE_URL=POSTGRESQL)

    with pytest.raises(ConfigError, match="STIGMER_DATABASE_URL names another database here: " + SHOWN):
        await restarted_whole(other)
    with pytest.raises(ConfigError, match="--new-database was asked for"):
        await started(other, StackOptions(new_database=True))

    assert stack.processes() == before
    await down(stack.home, clock=CLOCK)
    with pytest.raises(ConfigError):
        await other.up()
    ready = await started(other, StackOptions(new_database=True))
    assert [change.name for change in ready.changes] == ["database_url"]
    await started(other, StackOptions(new_database=True))  # the same again is no contradiction


async def test_an_up_that_fails_leaves_the_record_as_it_was(stack: Stack) -> None:
    await stack.up()
    await down(stack.home, clock=CLOCK)
    written = (stack.home.data / "stack-settings.json").read_bytes()
    other = stack.shell(STIGMER_DATABASE_URL=POSTGRESQL)
    real = other.build
    other.build = lambda *a: tuple(part for part in real(*a) if part.name != "runner")  # type: ignore[method-assign]

    with pytest.raises(TimedOut):
        await started(other, StackOptions(new_database=True, wait_timeout_s=2.0))

    assert (stack.home.data / "stack-settings.json").read_bytes() == written
    await stack.up()


async def test_the_first_up_that_fails_leaves_no_record(stack: Stack) -> None:
    real = stack.build
    stack.build = lambda *a: tuple(part for part in real(*a) if part.name != "runner")  # type: ignore[method-assign]

    with pytest.raises(TimedOut):
        await stack.up(wait_s=2.0)

    assert read_settings_record(stack.home) is None


async def test_a_damaged_record_stops_nothing(stack: Stack) -> None:
    await stack.up()
    (stack.home.data / "stack-settings.json").write_text('{"parts": {"server": 3}}')

    assert (await stack.up()).pending == ()
    await restarted(stack, "runner")
    await restarted_whole(stack)

    record = read_settings_record(stack.home)
    assert record is not None
    assert sorted(record.parts) == ["runner", "server", "temporal"]
