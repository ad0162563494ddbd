"""A question of a command, in a pseudo-terminal: what a person types, and what it comes to."""

import os
import re
import signal
import sys
from pathlib import Path

import pexpect  # type: ignore[import-untyped] # its stubs are not installed
import pytest

STIGMER = str(Path(sys.executable).with_name("stigmer"))
ANSWER_MAX_S = 30
STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        ("n\r", 1, ["nothing was deleted"]),
        ("\r", 1, ["nothing was deleted"]),
        ("\x03", 130, ["nothing was deleted", "interrupted"]),
    ],
    ids=["no", "Enter", "Ctrl-C"],
)
def test_a_question_that_is_not_agreed_to_is_told_once(typed: str, code: int, told: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "STIGMER_HOME": str(tmp_path), "NO_COLOR": "1", "TERM": "dumb"}
    asked = pexpect.spawn(
        STIGMER, ["agents", "delete", "greeter"], env=environment, timeout=ANSWER_MAX_S, encoding="utf-8"
    )
    with asked:
        asked.expect_exact("Delete agent greeter? [y/N]: ")
        asked.send(typed)
        lines = asked.read().splitlines()[1:]  # the first is the end of the question, with what was typed
        asked.close()
    assert (asked.exitstatus, lines) == (code, told)


def test_what_is_neither_yes_nor_no_is_asked_again(tmp_path: Path) -> None:
    environment = {**os.environ, "STIGMER_HOME": str(tmp_path), "NO_COLOR": "1", "TERM": "dumb"}
    asked = pexpect.spawn(
        STIGMER, ["agents", "delete", "greeter"], env=environment, timeout=ANSWER_MAX_S, encoding="utf-8"
    )
    with asked:
        asked.expect_exact("Delete agent greeter? [y/N]: ")
        asked.send("maybe\r")
        asked.expect_exact(
            "maybe\r\nanswer y for yes, or n for no; Enter alone is a no\r\nDelete agent greeter? [y/N]: "
        )
        asked.send("YES\r")
        asked.expect_exact("no stack was ever started")
        asked.expect(pexpect.EOF)


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("CI", "1"), ("BUILD_NUMBER", "7"), ("TF_BUILD", "True")])
def test_nobody_is_asked_in_ci_at_a_pseudo_terminal(name: str, value: str, tmp_path: Path) -> None:
    code, told = run_at_a_terminal(["agents", "delete", "greeter"], tmp_path, {name: value})
    why = f"nobody answers in CI, which the variable {name} says this is"
    assert (code, told) == (
        2,
        [f"error: cannot ask before deleting: {why}", "hint: stigmer agents delete greeter --yes"],
    )


def test_no_value_is_waited_for_in_ci(tmp_path: Path) -> None:
    code, told = run_at_a_terminal(["secrets", "set", "KEY"], tmp_path, {"CI": "true"})
    assert (code, told) == (
        2,
        [
            "error: nobody types a value in CI, which the variable CI says this is",
            "hint: stigmer secrets set KEY < FILE",
        ],
    )


def test_a_page_of_the_manual_is_printed_in_ci(tmp_path: Path) -> None:
    code, told = run_at_a_terminal(["help", "settings"], tmp_path, {"CI": "true", "PAGER": "less"})
    assert code == 0
    assert len(told) > 24


def test_a_variable_that_says_no_leaves_a_terminal_to_a_person(tmp_path: Path) -> None:
    environment = {**os.environ, "STIGMER_HOME": str(tmp_path), "TERM": "dumb", "CI": "false"}
    asked = pexpect.spawn(STIGMER, ["agents", "delete", "x"], env=environment, timeout=ANSWER_MAX_S, encoding="utf-8")
    with asked:
        asked.expect_exact("Delete agent x? [y/N]: ")
        asked.send("n\r")
        asked.expect(pexpect.EOF)


def run_at_a_terminal(arguments: list[str], home: Path, more: dict[str, str]) -> tuple[int, list[str]]:
    """The exit code and the lines of a command that asks nothing at a terminal of 400 columns."""
    environment = {**os.environ, "STIGMER_HOME": str(home), "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "400", **more}
    ran = pexpect.spawn(
        STIGMER, arguments, env=environment, timeout=ANSWER_MAX_S, encoding="utf-8", dimensions=(24, 400)
    )
    with ran:
        ran.expect(pexpect.EOF)
        lines = STYLE.sub("", str(ran.before)).splitlines()
        ran.close()
    return ran.exitstatus, lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_hidden_question_that_is_ended_leaves_the_terminal_with_its_echo(
    number: signal.Signals, tmp_path: Path
) -> None:
    environment = {**os.environ, "STIGMER_HOME": str(tmp_path), "NO_COLOR": "1", "TERM": "dumb"}
    asked = pexpect.spawn(STIGMER, ["secrets", "set", "KEY"], env=environment, timeout=ANSWER_MAX_S, encoding="utf-8")
    with asked:
        asked.expect_exact("Value of KEY: ")
        assert not asked.getecho()
        asked.kill(number)
        asked.expect(pexpect.EOF)
        assert asked.getecho()
        asked.close()
    assert asked.exitstatus == 128 + number


def test_a_hidden_answer_stays_hidden_after_ctrl_z_and_fg(tmp_path: Path) -> None:
    environment = {**os.environ, "STIGMER_HOME": str(tmp_path), "TERM": "dumb", "PS1": "shell> "}
    shell = pexpect.spawn("bash", ["--norc", "-i"], env=environment, timeout=ANSWER_MAX_S, encoding="utf-8")
    with shell:
        shell.expect_exact("shell> ")
        shell.sendline(f"{STIGMER} secrets set KEY")
        shell.expect_exact("Value of KEY: ")
        shell.send("\x1a")
        shell.expect(r"Stopped.*shell> ")
        shell.sendline("fg")
        shell.expect_exact("Value of KEY: ")
        assert not shell.getecho()
        shell.sendline("canary-of-a-secret")
        shell.expect_exact("no stack was ever started")
        assert "canary" not in shell.before
