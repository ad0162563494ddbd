"""A process whose program was moved or removed is found by the path that it was started from."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stigmer_cli.stack.gone_programs import describe_gone, find_gone_program, find_gone_programs
from stigmer_cli.supervisor.process import ProcessId, start_mark
from stigmer_cli.supervisor.record import ChildRecord, SupervisorRecord
from tests.support.polling import wait_until


@pytest.fixture
def program(tmp_path: Path) -> Path:
    copied = tmp_path / "bin" / "nap"
    copied.parent.mkdir()
    shutil.copy(shutil.which("sleep") or "/bin/sleep", copied)
    return copied


@pytest.fixture
def process(program: Path) -> Iterator[ProcessId]:
    with subprocess.Popen([program, "60"]) as running:
        yield identify(running)
        running.kill()


def identify(running: "subprocess.Popen[bytes]") -> ProcessId:
    """Who it is, once the kernel shows its arguments: that is a moment after `Popen` returns."""
    wait_until(lambda: psutil.Process(running.pid).cmdline(), "its arguments are shown")
    return ProcessId(pid=running.pid, mark=start_mark(running.pid) or "")


def record_of(process: ProcessId) -> SupervisorRecord:
    children = (ChildRecord(name="runner", state="running", id=process), ChildRecord(name="server", state="failed"))
    return SupervisorRecord(id=process, started_at="", children=children)


def test_a_program_counts_as_gone_from_the_moment_that_nothing_is_at_its_path(
    program: Path, process: ProcessId
) -> None:
    assert find_gone_program(process) == ""
    program.parent.rename(program.parent.with_name("moved"))
    assert find_gone_program(process) == str(program)
    assert find_gone_programs(record_of(process)) == {"runner": str(program)}


def test_another_program_at_the_same_path_can_be_started(program: Path, process: ProcessId) -> None:
    program.unlink()
    program.touch()
    assert find_gone_program(process) == ""


def test_an_interpreter_that_a_link_no_longer_leads_to_is_gone(tmp_path: Path, program: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(program)
    with subprocess.Popen([link, "60"]) as running:
        found = identify(running)
        program.unlink()
        assert find_gone_program(found) == str(link)
        running.kill()


def test_nothing_is_said_of_processes_that_cannot_be_seen(program: Path, process: ProcessId) -> None:
    program.unlink()
    assert find_gone_program(replace(process, mark="another process with this pid")) == ""
    assert find_gone_programs(replace(record_of(process), namespace="pid:[1]")) == {}
    assert find_gone_programs(None) == {}
    assert find_gone_program(ProcessId(pid=os.getpid(), mark=start_mark(os.getpid()) or "")) == ""


def test_the_parts_of_one_program_are_named_together() -> None:
    assert describe_gone({"temporal": "/a/temporal", "server": "/a/python", "runner": "/a/python"}) == (
        "programs that running parts were started from are gone: /a/temporal (temporal), /a/python (server, runner);"
        " a part that ends cannot be started again"
    )
