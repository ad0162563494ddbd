"""`up` and `down` from every state, with stand-in parts behind the same code."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import ConfigError, MachineError, NotRunning, OperationFailed, TimedOut
from stigmer_cli.settings import Settings
from stigmer_cli.stack.down import down, purge
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.failure import StartFailed
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.port_claims import PortClaims
from stigmer_cli.stack.ports import PortsTaken, is_free, owner_of, with_ports
from stigmer_cli.stack.restart import restart, restart_part
from stigmer_cli.stack.status import PartState, StackState, status
from stigmer_cli.supervisor.record import SOCKET
from stigmer_cli.supervisor.spec import ChildSpec
from tests.support.freezing import freeze
from tests.support.polling import eventually, until_true
from tests.support.stub_stack import Stack
from tests.support.temporal_server import free_port

PARTS = ("supervisor", "temporal", "server", "runner")
CLOCK = SystemClock()
HOLDS = (
    "import socket, sys, time; ends = [socket.create_server(('127.0.0.1', int(p))) for p in sys.argv[1:]]; "
    "print('up', flush=True); time.sleep(600)"
)
ENDS_LATE = """
import atexit, sys, time
if sys.orig_argv[-1] == "stigmer_cli.supervisor":
    atexit.register(time.sleep, 1.5)
"""


async def state_of(stack: Stack) -> tuple[StackState, dict[str, PartState]]:
    token = stack.home.token_file.read_text().strip() if stack.home.token_file.exists() else None
    found = await status(stack.settings(), token=token, clock=CLOCK)
    return found.state, {part.name: part.state for part in found.parts}


async def ready_state_of(stack: Stack) -> dict[str, PartState]:
    """The states of the parts once the stack is seen ready; a look has a second, which a busy machine may take away."""

    async def ready() -> dict[str, PartState] | None:
        state, parts = await state_of(stack)
        return parts if state is StackState.READY else None

    return await eventually(ready, within_s=15)


async def test_up_returns_when_every_part_is_proven_and_down_leaves_nothing(stack: Stack) -> None:
    ready = await stack.up()
    running = stack.processes()

    assert sorted(running) == sorted(PARTS)
    assert ready.started == ("temporal", "server", "runner")
    assert await ready_state_of(stack) == dict.fromkeys(PARTS, PartState.RUNNING)
    assert stack.home.path.stat().st_mode & 0o077 == 0

    ended = await down(stack.home, clock=CLOCK)

    assert [(part.name, part.how) for part in ended.parts] == [
        ("temporal", "stopped"),
        ("server", "stopped"),
        ("runner", "stopped"),
        ("supervisor", "stopped"),
    ]
    assert not any(one.is_alive for one in running.values())
    assert is_free(ready.endpoints.server_port)
    assert read_endpoints(stack.home) is None
    assert (await state_of(stack))[0] is StackState.STOPPED


async def test_up_on_a_healthy_stack_touches_nothing(stack: Stack) -> None:
    await stack.up()
    before = stack.processes()
    written = (stack.home.run / "stack.json").stat().st_mtime_ns

    again = await stack.up()

    assert again.started == ()
    assert stack.processes() == before
    assert (stack.home.run / "stack.json").stat().st_mtime_ns == written


@pytest.mark.parametrize("part", ["temporal", "server", "runner"])
async def test_up_after_a_part_was_killed_leaves_the_others_alone(stack: Stack, part: str) -> None:
    await stack.up()
    before = stack.processes()
    before[part].send(signal.SIGKILL)
    await until_true(lambda: not before[part].is_alive, "dead")

    await stack.up()

    after = stack.processes()
    assert sorted(after) == sorted(PARTS)
    assert [name for name in PARTS if after[name] != before[name]] == [part]
    await ready_state_of(stack)


async def test_up_works_after_the_supervisor_was_killed(stack: Stack) -> None:
    await stack.up()
    before = stack.processes()
    before["supervisor"].send(signal.SIGKILL)
    await until_true(lambda: not before["supervisor"].is_alive, "dead")

    again = await stack.up()

    assert again.started == ("temporal", "server", "runner")
    assert not any(one.is_alive for one in before.values())
    await ready_state_of(stack)


async def test_down_after_the_supervisor_was_killed_is_no_error(stack: Stack) -> None:
    await stack.up()
    before = stack.processes()
    before["supervisor"].send(signal.SIGKILL)
    await until_true(lambda: not before["supervisor"].is_alive, "dead")

    await down(stack.home, clock=CLOCK)

    assert not any(one.is_alive for one in before.values())
    assert (await down(stack.home, clock=CLOCK)).parts == ()


async def test_down_ends_a_frozen_stack_within_ten_seconds(stack: Stack) -> None:
    await stack.up()
    before = stack.processes()
    for one in before.values():
        freeze(one.pid)
    began = time.monotonic()

    await down(stack.home, clock=CLOCK)

    assert time.monotonic() - began < 10.0
    assert not any(one.is_alive for one in before.values())


async def up_to_end_late(stack: Stack, tmp_path: Path) -> Stack:
    """The same stack, whose processes end long after they have closed their connections."""
    (tmp_path / "sitecustomize.py").write_text(ENDS_LATE)
    busy = stack.shell(PYTHONPATH=str(tmp_path))
    await busy.up()
    return busy


async def test_down_waits_for_a_supervisor_that_ends_long_after_it_has_closed_its_connections(
    stack: Stack, tmp_path: Path
) -> None:
    busy = await up_to_end_late(stack, tmp_path)
    supervisor = busy.processes()["supervisor"]

    ended = await down(busy.home, clock=CLOCK)

    assert (ended.parts[-1].name, supervisor.is_alive) == ("supervisor", False)


async def test_up_waits_for_a_supervisor_that_was_told_to_end_and_ends_long_after_its_socket_is_gone(
    stack: Stack, tmp_path: Path
) -> None:
    busy = await up_to_end_late(stack, tmp_path)
    supervisor = busy.processes()["supervisor"]

    supervisor.send(signal.SIGTERM)
    await until_true(lambda: not (busy.home.run / SOCKET).exists(), "its socket is gone")
    assert supervisor.is_alive
    ready = await busy.up()

    assert ready.started == ("temporal", "server", "runner")
    assert busy.processes()["supervisor"] != supervisor


async def test_a_frozen_supervisor_is_one_cause_and_one_fix(stack: Stack) -> None:
    await stack.up()
    supervisor = stack.processes()["supervisor"]
    freeze(supervisor.pid)

    state, parts = await state_of(stack)
    assert (state, parts["supervisor"]) == (StackState.DEGRADED, PartState.NOT_READY)
    with pytest.raises(
        MachineError, match=rf"the supervisor \(pid {supervisor.pid}\) of .* is frozen by a signal"
    ) as found:
        await stack.up()
    assert found.value.hint == f"kill -CONT {supervisor.pid}, or stigmer down"


async def test_a_frozen_server_is_not_ready(stack: Stack) -> None:
    await stack.up()
    freeze(stack.processes()["server"].pid)

    state, parts = await state_of(stack)

    assert state is StackState.DEGRADED
    assert parts["server"] is PartState.NOT_READY


async def test_of_ten_at_once_one_starts_and_all_report_the_same_stack(stack: Stack) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stack.up()) for _ in range(10)]
    found = [task.result() for task in tasks]

    assert sorted(len(ready.started) for ready in found) == [0] * 9 + [3]
    assert {ready.record.id for ready in found} == {stack.processes()["supervisor"]}
    assert len({ready.endpoints for ready in found}) == 1


async def test_a_part_that_does_not_start_is_named_with_its_lines_and_all_is_stopped(stack: Stack) -> None:
    (stack.home.path / "server.breaks").touch()

    with pytest.raises(StartFailed) as failed:
        await stack.up()

    assert failed.value.message == "server does not start: ended by itself with exit code 7"
    assert failed.value.hint == "stigmer logs server"
    assert failed.value.part == "server"
    assert set(failed.value.lines) == {"cannot go on"}
    assert failed.value.exit_code == 1
    assert stack.processes() == {}
    assert read_endpoints(stack.home) is None


@pytest.mark.parametrize(
    ("words", "cause", "hint"),
    [
        ("listen: address already in use", "its port is in use", "stigmer up --auto-ports, or stigmer up"),
        ("write: no space left on device", "the disk is full", "free space for"),
    ],
)
async def test_a_known_cause_is_reported_with_its_fix(stack: Stack, words: str, cause: str, hint: str) -> None:
    (stack.home.path / "temporal.breaks").write_text(words)

    with pytest.raises(StartFailed) as failed:
        await stack.up()

    assert failed.value.message == f"temporal does not start: ended by itself with exit code 1; {cause}"
    assert failed.value.hint.startswith(hint)


async def test_a_stack_that_does_not_become_ready_in_time_says_what_it_waited_for(stack: Stack) -> None:
    real = stack.build
    stack.build = lambda *a: tuple(part for part in real(*a) if part.name != "runner")  # type: ignore[method-assign]

    with pytest.raises(TimedOut, match="the stack is not ready in time: runner: not running"):
        await stack.up(wait_s=6.0)

    assert stack.processes() == {}
    assert re.fullmatch(
        r"stopped what was started: temporal .*supervisor \(pid \d+\); nothing of it runs", stack.told[-1]
    )


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.15, 0.25, 0.4])
async def test_an_interrupted_up_leaves_nothing(stack: Stack, delay_s: float) -> None:
    (stack.home.path / "runner.pid").mkdir()  # the runner cannot start, so up is interrupted before it ends
    with contextlib.suppress(TimeoutError, OperationFailed):
        async with asyncio.timeout(delay_s):
            await stack.up()

    assert stack.processes() == {}
    assert is_free(stack.settings().server_port)
    assert read_endpoints(stack.home) is None


async def test_every_port_conflict_is_reported_at_once_with_owner_and_flag(stack: Stack) -> None:
    settings = stack.settings()
    foreign = _foreign(HOLDS, settings.server_port, settings.temporal_port)
    try:
        with pytest.raises(PortsTaken) as taken:
            await stack.up()

        assert [(found.use.flag, found.owner and found.owner.pid) for found in taken.value.conflicts] == [
            ("--port", foreign.pid),
            ("--temporal-port", foreign.pid),
        ]
        assert f"port {settings.server_port} for server is held by pid {foreign.pid} (" in taken.value.message
        assert taken.value.hint == "stigmer up --auto-ports, or stigmer up --port N --temporal-port N"
        assert stack.processes() == {}

        with PortClaims() as claims:
            moved = with_ports(settings, StackOptions(auto_ports=True), claims)
        assert moved.ui_port == settings.ui_port
        assert len({moved.server_port, moved.temporal_port, settings.server_port, settings.temporal_port}) == 4
        assert is_free(moved.server_port)
        assert foreign.poll() is None
    finally:
        _end(foreign)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _foreign(code: str, *ports: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, ports)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


async def test_a_temporal_of_somebody_else_on_our_port_is_never_taken_for_ours(stack: Stack) -> None:
    """The port is taken between the look and the bind: the server would connect to it, and call it connected."""
    (stack.home.path / "temporal.breaks").write_text("listen tcp: address already in use")
    real = stack.build
    foreign: list[subprocess.Popen[bytes]] = []

    def build(settings: Settings, options: StackOptions, environ: Mapping[str, str]) -> tuple[ChildSpec, ...]:
        foreign.append(_foreign(HOLDS, settings.temporal_port))
        return real(settings, options, environ)

    stack.build = build  # type: ignore[method-assign]
    try:
        with pytest.raises(StartFailed) as failed:
            await stack.up()

        assert f"port {stack.settings().temporal_port} is held by pid {foreign[0].pid} (" in failed.value.message
        assert failed.value.hint == "stigmer up --auto-ports, or stigmer up --temporal-port N --ui-port N"
        assert foreign[0].poll() is None
    finally:
        for process in foreign:
            _end(process)


async def test_a_flag_against_a_running_stack_is_refused_and_changes_nothing(stack: Stack) -> None:
    await stack.up()
    before = stack.processes()

    with pytest.raises(ConfigError, match="--port 9999 was asked for, but the stack runs --port"):
        await stack.up({"server_port": "9999"})

    assert stack.processes() == before


async def test_restart_of_a_part_replaces_it_alone(stack: Stack) -> None:
    await stack.up()
    before = stack.processes()

    ready = await restart_part(stack.settings(), "runner", StackOptions(), progress=stack.progress, around=stack.around)

    after = stack.processes()
    assert ready.started == ("runner",)
    assert [name for name in PARTS if after[name] != before[name]] == ["runner"]


async def test_restart_of_a_part_of_nothing_is_not_running(stack: Stack) -> None:
    with pytest.raises(NotRunning):
        await restart_part(stack.settings(), "runner", StackOptions(), progress=stack.progress, around=stack.around)


async def test_restart_of_the_whole_keeps_its_ports(stack: Stack) -> None:
    flags = dict(zip(("server_port", "temporal_port", "ui_port"), (str(free_port()) for _ in range(3)), strict=True))
    stack.ports = {}
    first = await stack.up(flags)
    before = stack.processes()

    again = await restart(stack.settings(), StackOptions(), progress=stack.progress, around=stack.around)

    assert again.endpoints.ports == first.endpoints.ports
    assert not any(one.is_alive for one in before.values())


async def test_purge_deletes_everything_but_the_configuration(stack: Stack) -> None:
    stack.home.config_file.write_text('log_level = "info"\n')
    await stack.up()

    ended = await purge(stack.home, clock=CLOCK)

    assert {path.name for path in ended.deleted} == {"data", "logs", "token", "run"}
    assert len(ended.parts) == 4
    assert _names(stack.home.path) == {"config.toml", "home.json", "runner.pid"}
    assert (await down(stack.home, clock=CLOCK)).parts == ()


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_down_of_nothing_is_no_error(stack: Stack) -> None:
    assert (await down(stack.home, clock=CLOCK)).parts == ()


async def test_down_while_up_waits_ends_both(stack: Stack) -> None:
    real = stack.build
    stack.build = lambda *a: tuple(part for part in real(*a) if part.name != "runner")  # type: ignore[method-assign]

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_failure_of(stack))
        await until_true(lambda: "server" in stack.processes(), "the server runs")
        await down(stack.home, clock=CLOCK)

    assert isinstance(waiting.result(), OperationFailed)
    assert stack.processes() == {}


async def _failure_of(stack: Stack) -> Exception | None:
    try:
        await stack.up()
    except OperationFailed as error:
        return error
    return None


def test_who_has_a_port_for_a_connection_is_named_too() -> None:
    """Systems that draw from low ports give an outgoing connection one that a server wants."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        port = end.getsockname()[1]
        end.connect(listener.getsockname())
        assert not is_free(port)
        assert owner_of(port).pid == os.getpid()
