"""A project is moved while its stack runs: `mv`, `git worktree move`."""

from dataclasses import replace
from pathlib import Path

from stigmer_cli.clock import SystemClock
from stigmer_cli.settings import Home
from stigmer_cli.stack.down import down
from stigmer_cli.stack.status import StackState, status
from tests.support.polling import until_true
from tests.support.stub_stack import Stack

CLOCK = SystemClock()
NOTICED_WITHIN_S = 25.0


async def test_a_stack_goes_along_with_its_project(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "shop" / ".stigmer"
    path.mkdir(parents=True, mode=0o700)
    await replace(stack, home=Home(path=path)).up()
    (tmp_path / "shop").rename(tmp_path / "store")
    there = replace(stack, home=Home(path=tmp_path / "store" / ".stigmer"))
    before = there.processes()
    try:
        await until_true(
            lambda: len(there.processes()) == len(before) and not {*there.processes().values()} & parts_of(before),
            "all parts started again",
            within_s=NOTICED_WITHIN_S,
        )
        assert there.processes()["supervisor"] == before["supervisor"]
        assert (await there.up()).started == ()
        token = there.home.token_file.read_text().strip()
        assert (await status(there.settings(), token=token, clock=CLOCK)).state is StackState.READY
        assert "home was moved" in (there.home.logs / "supervisor.log").read_text()
        assert not (tmp_path / "shop").exists()
    finally:
        await down(there.home, clock=CLOCK)
    assert there.processes() == {}


async def test_a_home_that_is_set_aside_stops(stack: Stack, tmp_path: Path) -> None:
    await stack.up()
    stack.home.path.rename(tmp_path / "aside")
    aside = replace(stack, home=Home(path=tmp_path / "aside"))
    running = aside.processes()
    assert running
    await until_true(
        lambda: not any(one.is_alive for one in running.values()), "everything gone", within_s=NOTICED_WITHIN_S
    )


def parts_of(processes: object) -> set[object]:
    assert isinstance(processes, dict)
    return {one for name, one in processes.items() if name != "supervisor"}
