"""Stacks that are started at the same moment, and a port that is taken after it was found free."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import OperationFailed
from stigmer_cli.settings import Home, Settings
from stigmer_cli.stack.down import down
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.port_claims import NAME, PortClaims
from stigmer_cli.stack.ports import PortsTaken, with_ports
from stigmer_cli.stack.up import Ready, UpContext, up
from stigmer_cli.supervisor.process import IS_LINUX
from stigmer_cli.supervisor.spec import ChildSpec
from tests.support.polling import until_true
from tests.support.processes import environ as whole_environment
from tests.support.stub_stack import Stack
from tests.support.temporal_server import free_port

HOMES, ROUNDS = 5, 2
AUTO = StackOptions(auto_ports=True, wait_timeout_s=60.0)


@asynccontextmanager
async def homes(folder: Path, number: int) -> AsyncIterator[list[Stack]]:
    """So many homes whose stacks all want the same ports; the web UI has an address of its own."""
    ports = {name: str(free_port()) for name in ("STIGMER_SERVER_PORT", "STIGMER_TEMPORAL_PORT")}
    stacks = []
    for one in range(number):
        path = folder / f"home-{one}"
        path.mkdir(mode=0o700)
        stacks.append(Stack(home=Home(path=path), ports={**ports, "STIGMER_UI_PORT": str(free_port())}))
    try:
        yield stacks
    finally:
        for stack in stacks:
            await down(stack.home, clock=SystemClock())


async def _up(stack: Stack) -> Ready:
    return await up(stack.settings(), AUTO, progress=stack.progress, around=stack.around)


def ports_of(ready: Ready) -> set[int]:
    return {port for ports in ready.endpoints.ports.values() for port in ports}


async def test_stacks_that_are_started_at_the_same_moment_get_ports_of_their_own(tmp_path: Path) -> None:
    async with homes(tmp_path, HOMES) as stacks:
        for _ in range(ROUNDS):
            async with asyncio.TaskGroup() as group:
                starts = [group.create_task(_up(stack)) for stack in stacks]
            drawn = [ports_of(start.result()) for start in starts]
            assert len(set.union(*drawn)) == sum(map(len, drawn)) >= 2 * HOMES
            for stack in stacks:
                await down(stack.home, clock=SystemClock())


@pytest.mark.skipif(not IS_LINUX, reason="there are no claims elsewhere")
async def test_the_port_of_a_part_that_is_being_restarted_is_not_drawn(tmp_path: Path) -> None:
    async with homes(tmp_path, 2) as (first, second):
        ready = await _up(first)
        (first.home.path / "server.breaks").touch()
        server = ready.record.child("server")
        assert server is not None
        assert server.id is not None
        server.id.kill_group()
        await until_true(lambda: not _is_open(ready.endpoints.server_port), "the port is closed")
        settings = replace(second.settings(), server_port=ready.endpoints.server_port)
        with PortClaims() as claims:
            assert with_ports(settings, AUTO, claims).server_port != ready.endpoints.server_port
        with (
            PortClaims() as claims,
            pytest.raises(PortsTaken, match=f"belong to the stack in {first.home.path}, which runs"),
        ):
            with_ports(settings, StackOptions(), claims)


async def test_a_port_that_somebody_takes_after_it_was_found_free_is_drawn_again(home: Home) -> None:
    names = ("STIGMER_SERVER_PORT", "STIGMER_TEMPORAL_PORT", "STIGMER_UI_PORT")
    stack = Stack(home=home, ports={name: str(free_port()) for name in names})
    thieves: list[socket.socket] = []

    def build(settings: Settings, options: StackOptions, environ: Mapping[str, str]) -> tuple[ChildSpec, ...]:
        if len(thieves) < 2:
            thieves.append(socket.create_server(("127.0.0.1", settings.server_port)))
        return stack.build(settings, options, environ)

    try:
        around = UpContext(clock=SystemClock(), environ=whole_environment(), build=build)
        ready = await up(stack.settings(), AUTO, progress=stack.progress, around=around)
        taken = {thief.getsockname()[1] for thief in thieves}
        assert len(taken) == 2
        assert ready.endpoints.server_port not in taken
    finally:
        for thief in thieves:
            thief.close()
        await down(home, clock=SystemClock())


def _is_held_here(port: int) -> bool:
    name = NAME.format(port=port).lstrip("\0")
    return any(str(one.laddr).endswith(name) for one in psutil.Process().net_connections("unix"))


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(not IS_LINUX, reason="elsewhere every claim is granted")
async def test_an_up_that_has_not_noticed_the_end_of_its_stack_keeps_no_port_from_another(tmp_path: Path) -> None:
    """As where one `stigmer down` and another `up` are typed while the first `up` still waits."""
    async with homes(tmp_path, 1) as [stack]:
        (stack.home.path / "runner.pid").mkdir()  # the runner cannot start, so that `up` waits
        waiting = asyncio.create_task(stack.up())
        await until_true(lambda: "server" in stack.processes(), "a stack that starts")
        port = stack.settings().server_port
        await until_true(lambda: not _is_held_here(port), "the claim is the supervisor's alone")
        supervisor = stack.processes()["supervisor"]
        supervisor.send(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while supervisor.is_alive and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251 - so that the first `up` does not notice it
        with PortClaims() as claims:
            assert claims.take(port)
        with suppress(OperationFailed):
            await waiting
