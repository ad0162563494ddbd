"""The README says what is there: its two commands, its settings, its exit codes, its commands."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from stigmer_cli import errors
from stigmer_cli.cli.app import application
from stigmer_cli.cli.entry import invoke
from stigmer_cli.errors import StigmerError
from stigmer_cli.settings import OPTIONS, Option

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_two_commands_are_one_line_each_and_make_their_environment() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert [line.rsplit("/", 1)[1] for line in lines] == ["stigmer up", "pytest"]
    assert all("--require-hashes" in line for line in lines)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_setting_is_in_the_manual(option: Option) -> None:
    assert f"| `{option.variable}` | `{option.name}` |" in README


def test_every_exit_code_of_an_error_is_in_the_manual() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StigmerError)]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert {kind.exit_code for kind in kinds} <= documented


def test_every_command_is_in_the_manual() -> None:
    commands = set(getattr(get_command(application({})), "commands"))  # noqa: B009
    assert {name for name in commands if f"stigmer {name}" not in README} == set()


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in README
    assert "TODO" not in README


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completions_are_what_the_command_prints(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["completion", shell]) == 0
    assert capsys.readouterr().out == (ROOT / "completions" / f"stigmer.{shell}").read_text()
