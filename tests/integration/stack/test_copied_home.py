"""A copy of a home (`cp -r`, a backup, an image's COPY) is never taken for the stack that runs in the original."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.identity import StoreId
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import Ended, down
from stigmer_cli.stack.endpoints_file import read_endpoints, write_endpoints
from stigmer_cli.stack.home import prepare_home
from stigmer_cli.stack.status import StackState, status
from stigmer_cli.store_record import write_store_record
from stigmer_cli.supervisor.record import read_record
from tests.support.stub_stack import Stack
from tests.unit.doctor.facts_builder import ENDPOINTS

CLOCK = SystemClock()


def copy_home(home: Home, to: Path) -> Home:
    shutil.copytree(home.path, to, ignore=shutil.ignore_patterns("*.sock"))
    return Home(path=to)


async def test_a_copy_is_stopped_and_its_down_spares_the_original(stack: Stack, tmp_path: Path) -> None:
    await stack.up()
    running = stack.processes()
    copied = replace(stack, home=copy_home(stack.home, tmp_path / "copy"))
    assert (copied.home.run / "supervisor.json").exists()

    assert read_record(copied.home.run) is None
    assert read_endpoints(copied.home) is None
    token = copied.home.token_file.read_text().strip()
    assert (await status(copied.settings(), token=token, clock=CLOCK)).state is StackState.STOPPED
    assert await down(copied.home, clock=CLOCK) == Ended()
    assert stack.processes() == running
    assert not (copied.home.run / "supervisor.json").exists()


def test_a_home_that_moves_is_itself_and_not_a_copy(home: Home, tmp_path: Path) -> None:
    home.run.mkdir()
    write_endpoints(home, ENDPOINTS)
    moved = Home(path=home.path.rename(tmp_path / "moved"))
    assert read_endpoints(moved) == ENDPOINTS
    assert read_endpoints(copy_home(moved, tmp_path / "copy")) is None


async def test_a_copy_says_of_what_and_is_kept_off_a_temporal_that_both_would_work_on(
    stack: Stack, tmp_path: Path
) -> None:
    prepare_home(stack.home)
    write_store_record(stack.settings(), StoreId("str-01arz3ndektsv4rrffq69g5fav"))
    copied = replace(stack, home=copy_home(stack.home, tmp_path / "copy"), told=[])
    try:
        await copied.up()
        assert [line for line in copied.told if str(stack.home.path) in line] == [
            f"this home is a copy of {stack.home.path}: what was open when it was copied is performed in both"
        ]
    finally:
        await down(copied.home, clock=CLOCK)
    elsewhere = copied.shell(STIGMER_TEMPORAL_ADDRESS="127.0.0.1:7233")  # taken over by then, and still a copy
    with pytest.raises(ConfigError, match="each would take up the other's executions") as refused:
        await elsewhere.up()
    assert refused.value.hint.startswith("unset STIGMER_TEMPORAL_ADDRESS, for a Temporal of its own")
    shutil.rmtree(stack.home.path)
    try:
        await elsewhere.up()  # nobody else has the store now
    finally:
        await down(copied.home, clock=CLOCK)
