"""Every stack of a machine in one list: running, stopped, gone, copied and not to trust; and stopping them at once."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.cli.stack.down_all import stop_stacks
from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import StigmerError
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import Ended, down
from stigmer_cli.stack.known_homes import KnownHomes
from stigmer_cli.stack.machine_stacks import find_stacks
from stigmer_cli.stack.ports import PortsTaken
from stigmer_cli.stack.running_homes import find_running_homes
from tests.support.stub_stack import Stack
from tests.support.temporal_server import free_port

CLOCK = SystemClock()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Stack]:
    """A second stack of the same user."""
    home = Home(path=tmp_path / "other")
    ports = {name: str(free_port()) for name in ("STIGMER_SERVER_PORT", "STIGMER_TEMPORAL_PORT", "STIGMER_UI_PORT")}
    yield Stack(home=home, ports=ports)
    await down(home, clock=CLOCK)


async def test_each_home_is_listed_with_its_state_and_one_that_is_gone_once(
    stack: Stack, other: Stack, tmp_path: Path
) -> None:
    known = KnownHomes({}, user_home=tmp_path / "ada")
    await stack.up()
    await other.up()
    await down(other.home, clock=CLOCK)
    shutil.copytree(stack.home.path, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    paths = [stack.home.path, other.home.path, tmp_path / "copy", tmp_path / "gone", open_to_all]
    for path in paths:
        known.remember(Home(path=path))

    found = {one.home.name: one for one in await find_stacks(known, (), clock=CLOCK)}
    assert {name: one.state for name, one in found.items()} == {
        "home": "ready",
        "other": "stopped",
        "copy": "stopped",
        "gone": "gone",
        "open": "refused",
    }
    settings = stack.settings()
    assert (found["home"].server_port, found["home"].temporal_port) == (settings.server_port, settings.temporal_port)
    assert (found["home"].version, found["other"].server_port) == ("1", other.settings().server_port)
    assert "others can write" in found["open"].detail
    assert {one.home.name for one in await find_stacks(known, (), clock=CLOCK)} == {"home", "other", "copy", "open"}


async def test_a_running_supervisor_is_found_though_its_home_is_on_no_list(stack: Stack) -> None:
    assert stack.home.path not in find_running_homes()
    await stack.up()
    assert stack.home.path in find_running_homes()


async def test_twenty_dead_homes_cost_next_to_nothing_and_a_silent_one_a_deadline(stack: Stack, tmp_path: Path) -> None:
    known = KnownHomes({}, user_home=tmp_path / "ada")
    for number in range(20):
        shutil.copytree(stack.home.path, tmp_path / f"dead-{number}")
        known.remember(Home(path=tmp_path / f"dead-{number}"))
    async with asyncio.timeout(10):
        assert {one.state for one in await find_stacks(known, (), clock=CLOCK)} == {"stopped"}


async def test_all_are_stopped_and_one_that_cannot_be_is_named_with_its_way_out(stack: Stack, other: Stack) -> None:
    await stack.up()
    await other.up()
    lock = other.home.run / "up.lock"
    lock.unlink()
    lock.mkdir()  # what is in the way of its `down`
    results = await stop_stacks([stack.home.path, other.home.path], CLOCK)
    lock.rmdir()
    stopped, failed = results[stack.home.path], results[other.home.path]
    assert isinstance(stopped, Ended)
    assert [part.name for part in stopped.parts] == ["temporal", "server", "runner", "supervisor"]
    assert isinstance(failed, StigmerError)
    assert failed.message == f"cannot use {lock}: Is a directory"
    assert stack.processes() == {}
    assert sorted(other.processes()) == ["runner", "server", "supervisor", "temporal"]


async def test_a_stack_that_runs_is_found_and_stopped_though_its_settings_cannot_be_read(
    stack: Stack, tmp_path: Path
) -> None:
    await stack.up()
    port = stack.settings().server_port
    stack.home.config_file.write_text("this is = not toml")
    known = KnownHomes({}, user_home=tmp_path / "ada")
    [found] = await find_stacks(known, [stack.home.path], clock=CLOCK)
    assert (found.state, found.is_running, found.server_port) == ("ready", True, port)
    assert found.detail.startswith(f"cannot read {stack.home.config_file}")
    results = await stop_stacks([found.home], CLOCK)
    assert isinstance(results[found.home], Ended)
    assert stack.processes() == {}


async def test_a_port_clash_names_the_other_stack_once_and_how_to_stop_it(stack: Stack, other: Stack) -> None:
    ready = await stack.up()
    settings, there = stack.settings(), stack.home.path
    clashing = replace(other, ports=stack.ports)
    with pytest.raises(PortsTaken) as taken:
        await clashing.up()
    server, temporal = settings.server_port, settings.temporal_port
    assert taken.value.message == (
        f"ports {server} for server and {temporal} for temporal belong to the stack in {there}, which runs"
    )
    assert taken.value.hint == (
        f"STIGMER_HOME={there} stigmer down, or stigmer up --auto-ports, or stigmer up --port N --temporal-port N"
    )
    assert (await stack.up()).record.id == ready.record.id


async def test_a_home_of_two_names_is_listed_once_by_the_one_that_is_used_here(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(stack.home.path.parent)
    linked = tmp_path / "link" / stack.home.path.name
    known = KnownHomes({"XDG_STATE_HOME": str(tmp_path / "state")}, user_home=None)
    known.remember(stack.home)
    await stack.up()
    running = sorted(path for path in find_running_homes() if path == stack.home.path)
    assert [one.home for one in await find_stacks(known, [linked, *running], clock=CLOCK)] == [linked]
    assert [one.home for one in await find_stacks(known, running, clock=CLOCK)] == [stack.home.path]
