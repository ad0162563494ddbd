"""Group commit: who comes while one is under way waits for the next, and everybody is told of their own mark."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.errors import StoreBusy, Unavailable
from stigmer_cli.executions.group_commit import GroupCommit
from stigmer_cli.store.executions import Taken
from stigmer_cli.store.store import Store
from tests.support.fakes_temporal import LoopClock, in_virtual_time


class SlowDisk:
    """A table that takes a second for each commit, and `fails` for as long as it is told to."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.fails = False
        self.locked = ""

    async def mark_all_submitted(self, marks: Sequence[Taken]) -> set[ExecutionId]:
        await asyncio.sleep(1)
        self.commits.append([f"{mark.id}/{mark.epoch}" for mark in marks])
        if self.fails:
            raise Unavailable("the disk is away")
        if self.locked in {mark.id for mark in marks}:
            raise StoreBusy("somebody holds the row")
        return {mark.id for mark in marks}


def taken(name: str, epoch: int = 1) -> Taken:
    return Taken(id=ExecutionId(name), epoch=epoch, run_id=RunId("run"), cluster="w", already=False)


def group_commit(disk: SlowDisk) -> GroupCommit:
    return GroupCommit(cast("Store", SimpleNamespace(executions=disk)), clock=LoopClock())


async def marked(one: GroupCommit, what: Taken, *, after_s: float, coming: int = 0) -> bool | str:
    await asyncio.sleep(after_s)
    try:
        return await one.mark(what, coming=lambda: coming)
    except Unavailable as error:
        return error.message


def told(disk: SlowDisk, *marks: tuple[Taken, float], coming: int = 0) -> list[bool | str]:
    """What each caller is told who marks something after so many seconds."""

    async def all_of_them() -> list[bool | str]:
        one = group_commit(disk)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(marked(one, what, after_s=at_s, coming=coming)) for what, at_s in marks]
        return [task.result() for task in tasks]

    return in_virtual_time(all_of_them())


def test_who_comes_during_a_commit_waits_for_the_next_and_shares_it() -> None:
    disk = SlowDisk()
    assert told(disk, (taken("a"), 0.0), (taken("b"), 0.5), (taken("c"), 0.6)) == [True, True, True]
    assert disk.commits == [["a/1"], ["b/1", "c/1"]]


def test_in_a_stream_the_first_waits_a_moment_for_those_that_are_coming() -> None:
    disk = SlowDisk()
    assert told(disk, (taken("a"), 0.0), (taken("b"), 0.03), coming=20) == [True, True]
    assert disk.commits == [["a/1", "b/1"]]


@pytest.mark.parametrize("coming", [0, 3])
def test_nobody_waits_for_company_that_is_not_coming(coming: int) -> None:
    disk = SlowDisk()
    told(disk, (taken("a"), 0.0), (taken("b"), 0.001), coming=coming)
    assert disk.commits == [["a/1"], ["b/1"]]


def test_of_two_epochs_of_one_execution_only_the_later_mark_is_written() -> None:
    disk = SlowDisk()
    assert told(disk, (taken("z"), 0.0), (taken("a"), 0.1), (taken("a", 2), 0.2)) == [True, False, True]
    assert disk.commits == [["z/1"], ["a/2"]]


def test_a_failed_commit_is_reported_to_all_who_were_in_it() -> None:
    disk = SlowDisk()
    disk.fails = True
    assert told(disk, (taken("a"), 0.0), (taken("b"), 0.1)) == ["the disk is away", "the disk is away"]


def test_a_row_that_somebody_holds_keeps_only_its_own_mark_from_being_written() -> None:
    disk = SlowDisk()
    disk.locked = "b"
    marks = [(taken("a"), 0.0), *((taken(name), 0.5) for name in "bcd")]
    assert told(disk, *marks) == [True, "somebody holds the row", True, True]
    assert [sorted(commit) for commit in disk.commits[:2]] == [["a/1"], ["b/1", "c/1", "d/1"]]
    assert sorted(disk.commits[2:]) == [["b/1"], ["c/1"], ["d/1"]]
