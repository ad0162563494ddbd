"""A copy of a home (`cp -r`, a backup, an image's COPY) is never taken for the stack that runs in the original."""

import shutil
from dataclasses import replace
from pathlib import Path

from stigmer_cli.clock import SystemClock
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import Ended, down
from stigmer_cli.stack.endpoints_file import read_endpoints, write_endpoints
from stigmer_cli.stack.status import StackState, status
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
