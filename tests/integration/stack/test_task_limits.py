"""The limits of processes and threads, as control groups of version 1 and 2 say them."""

import os
from pathlib import Path

import pytest

from stigmer_cli.stack import task_limits
from stigmer_cli.stack.task_limits import TaskLimit, find_tightest, read_task_limits


def write(group: Path, **files: str) -> None:
    group.mkdir(exist_ok=True)
    for name, text in files.items():
        (group / f"pids.{name}").write_text(f"{text}\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where control groups are mounted; each process is in one below, or in the mount itself."""
    monkeypatch.setattr(task_limits, "CGROUPS", tmp_path)
    return tmp_path


@pytest.mark.parametrize("version", ["", "pids"])
def test_limit_use_and_refusals_of_a_process_are_read(groups: Path, version: str) -> None:
    if not any(line.split(":")[1] == version for line in Path("/proc/self/cgroup").read_text().splitlines()):
        pytest.skip("this machine has no control groups of this version")
    write(groups / version, max="66", current="60", events="max 117")
    assert find_tightest(os.getpid()) == TaskLimit(allowed=66, used=60, refused=117)
    write(groups / version, max="max")
    assert find_tightest(os.getpid()) is None


def test_where_nothing_counts_them_the_limit_is_read_alone(groups: Path) -> None:
    write(groups, max="66")
    write(groups / "pids", max="66")
    assert {limit.allowed for limit in read_task_limits()} == {66}
    assert find_tightest(os.getpid()) is None


def test_of_a_process_that_ended_nothing_is_read() -> None:
    assert find_tightest(2**22 + 1) is None
