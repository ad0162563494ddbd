"""`stigmer top` on a real terminal."""

import os
import shlex
import signal
from pathlib import Path

import pexpect  # type: ignore[import-untyped] # its stubs are not installed
import psutil
import pytest

from tests.support.installed import Stigmer, installed

WAIT_S = 30
SHOWN = 24, 100


def start(stigmer: Stigmer) -> pexpect.spawn:
    environment = {**stigmer.environment, "TERM": "xterm-256color"}
    return pexpect.spawn(stigmer.command, ["top"], env=environment, dimensions=SHOWN, timeout=WAIT_S, encoding="utf-8")


@pytest.mark.parametrize("way", ["q", "ctrl-c", "SIGTERM", "SIGHUP"])
def test_the_terminal_is_as_before_however_it_ends(tmp_path: Path, way: str) -> None:
    with installed(tmp_path / "home") as stigmer:
        top = start(stigmer)
        top.expect("no stack was ever started")
        top.expect("Quit")
        match way:
            case "q":
                top.send("q")
            case "ctrl-c":
                top.sendcontrol("c")
            case name:
                top.kill(signal.Signals[name])
        top.expect(pexpect.EOF)
        top.close()
        assert "\x1b[?1049l" in top.before, "the alternate screen was not left"
        assert top.exitstatus == 0


def test_bytes_that_are_not_utf_8_do_not_end_it(tmp_path: Path) -> None:
    """A mouse that an old terminal reports as X10 did, beyond column 95, and a word in Latin-1."""
    with installed(tmp_path / "home") as stigmer:
        top = start(stigmer)
        top.expect("Quit")
        os.write(top.child_fd, b"\x1b[M \xff\xff" + b"caf\xe9")
        top.expect("no stack was ever started")  # drawn again, a second later
        os.write(top.child_fd, b"q")
        top.expect(pexpect.EOF)
        top.close()
        assert ("Traceback" in top.before, top.exitstatus) == (False, 0)


def test_a_terminal_that_is_closed_leaves_no_process_behind(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        top = start(stigmer)
        top.expect("Quit")
        process = psutil.Process(top.pid)
        os.close(top.fileno())
        assert process.wait(timeout=WAIT_S) in {128 + signal.SIGHUP, -signal.SIGHUP}


def test_without_a_terminal_it_says_what_to_type_instead(tmp_path: Path) -> None:
    done = Stigmer(tmp_path / "home")("top")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: stigmer top needs a terminal",
        "hint: stigmer status --watch, or stigmer executions list",
    ]


def test_it_draws_on_the_terminal_also_where_standard_error_is_a_file(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        told = tmp_path / "told"
        environment = {**stigmer.environment, "TERM": "xterm-256color"}
        line = shlex.join([stigmer.command, "top"])
        top = pexpect.spawn(
            "/bin/sh", ["-c", f"exec {line} 2>{told}"], env=environment, timeout=WAIT_S, encoding="utf-8"
        )
        top.expect("Quit")
        top.send("q")
        top.expect(pexpect.EOF)
        top.close()
        assert (top.exitstatus, told.read_text()) == (0, "")


@pytest.mark.parametrize(("kind", "told"), [("dumb", "TERM is dumb"), ("", "TERM is not set")])
def test_a_terminal_that_cannot_show_a_screen_is_named(tmp_path: Path, kind: str, told: str) -> None:
    stigmer = Stigmer(tmp_path / "home")
    environment = {**stigmer.environment, "TERM": kind}
    top = pexpect.spawn(stigmer.command, ["top"], env=environment, timeout=WAIT_S, encoding="utf-8")
    top.expect(pexpect.EOF)
    top.close()
    assert f"this terminal can show no whole screen: {told}\r\n" in top.before
    assert top.exitstatus == 2


@pytest.mark.slow
def test_it_shows_a_running_stack_and_acts_on_it(tmp_path: Path) -> None:
    manifest = "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: {name: greeter}\n"
    with installed(tmp_path / "home") as stigmer:
        stigmer.ok("up")
        stigmer.ok("apply", "-f", "-", stdin=manifest)
        name = stigmer.ok("run", "greeter", "hello", "--detach").strip()
        top = start(stigmer)
        top.expect(name)
        top.expect("run_claimed")
        top.send("R")
        top.expect("Restart which part")
        top.send("\x1b[B\x1b[B\r")
        top.expect("runner: ready again")
        top.send("q")
        top.expect(pexpect.EOF)
        top.close()
        assert top.exitstatus == 0
