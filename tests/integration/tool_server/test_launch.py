"""What starts a server of tools ends with it, and ends all of it when the runner dies."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from stigmer_cli.tool_server import launch
from tests.support.polling import until_true

STARTER = f"""
import os, subprocess, sys
command = [sys.executable, "-I", "-S", {launch.__file__!r}, str(os.getpid()), "PATH", *sys.argv[1:]]
sys.exit(subprocess.run(command, start_new_session=True).returncode)
"""


def start(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", STARTER, *command], stdout=subprocess.PIPE, text=True)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_starter_that_is_killed_takes_all_of_its_server_with_it() -> None:
    with start("sh", "-c", "trap '' TERM; sleep 600 & echo $! $$; wait") as starter:
        assert starter.stdout is not None
        pids = [int(word) for word in starter.stdout.readline().split()]
        assert not any(map(is_gone, pids))
        starter.kill()
        await until_true(lambda: all(map(is_gone, pids)), within_s=10)


async def test_a_server_whose_keeper_alone_is_killed_ends() -> None:
    with start("sh", "-c", "echo $PPID $$; exec sleep 600") as starter:
        assert starter.stdout is not None
        keeper, server = (int(word) for word in starter.stdout.readline().split())
        os.kill(keeper, signal.SIGKILL)
        await until_true(lambda: is_gone(server), within_s=10)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody sees whether orphans end")
@pytest.mark.parametrize(("trap", "code"), [("", 7), ("trap '' TERM; ", -signal.SIGKILL)])
async def test_what_a_server_has_started_ends_when_it_ends_by_itself(trap: str, code: int) -> None:
    with start("sh", "-c", f"{trap}sleep 600 & echo $!; exit 7") as starter:
        assert starter.stdout is not None
        left = int(starter.stdout.readline())
        await until_true(lambda: is_gone(left), within_s=10)
        assert starter.wait(20) == code % 256


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), (None, 127)])
def test_the_exit_code_is_that_of_the_program(script: str | None, code: int) -> None:
    with start(*(["sh", "-c", script] if script else ["no-such-program-anywhere"])) as starter:
        assert starter.wait(20) == code


def test_a_server_that_is_asked_to_end_may_take_its_time() -> None:
    with start("sh", "-c", "trap 'echo bye; exit 3' TERM; echo $PPID; while :; do sleep 0.05; done") as starter:
        assert starter.stdout is not None
        os.killpg(int(starter.stdout.readline()), signal.SIGTERM)
        assert starter.stdout.readline() == "bye\n"
        assert starter.wait(20) == 3
