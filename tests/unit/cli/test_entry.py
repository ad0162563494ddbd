"""The edge: every ending is an exit code, and every error a sentence with a way out."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from stigmer_cli.cli.entry import invoke


def test_on_windows_it_refuses_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert invoke(["status"]) == 2
    assert "WSL 2" in capsys.readouterr().err


def test_the_version_is_an_option_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--version"]) == 0
    assert capsys.readouterr().out == f"stigmer {version('stigmer-cli')}\n"


def test_without_arguments_it_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([]) == 0
    assert "Usage: stigmer [OPTIONS] COMMAND [ARGS]..." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(["nonsense"], "hint: stigmer --help"), (["executions", "get"], "hint: stigmer executions get --help")],
)
def test_wrong_usage_is_2_with_the_help_to_read(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == hint


@pytest.mark.parametrize("message", ["-5", "- buy milk", "--- a line"])
def test_a_message_that_begins_with_a_dash_goes_behind_two(message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "greeter", message]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "hint: stigmer run --help, or, if it is the message that begins with a dash: stigmer run AGENT -- MESSAGE"
    )
    assert invoke(["run", "--no-such", "greeter", "hello"]) == 2
    assert "No such option: --no-such" in capsys.readouterr().err


def test_an_unknown_variable_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STIGMER_SUBMIT_POLICIE", "queue")
    assert invoke(["config", "path"]) == 0
    assert "warning: unknown variable STIGMER_SUBMIT_POLICIE; did you mean" in capsys.readouterr().err


def test_secrets_are_not_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("STIGMER_TOKEN", "s3cret")
    monkeypatch.setenv("STIGMER_DATABASE_URL", "postgresql://me:hunter2@db/x")
    assert invoke(["config", "list", "-o", "json"]) == 0
    shown = capsys.readouterr().out
    assert "s3cret" not in shown
    assert "hunter2" not in shown
    assert "(set)" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logs"], "there are no logs in {home}/logs: nothing was ever started"),
        (["agents", "list"], "no stack was ever started in {home} (STIGMER_HOME)"),
    ],
)
def test_in_a_home_where_nothing_was_started_it_says_so(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STIGMER_HOME", str(tmp_path))
    tmp_path.chmod(0o700)
    assert invoke(arguments) == 3
    assert capsys.readouterr().err == f"error: {message.format(home=tmp_path)}\nhint: stigmer up\n"


def test_a_token_file_that_was_deleted_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STIGMER_HOME", str(tmp_path))
    tmp_path.chmod(0o700)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store.id").write_text("str-00000000000000000000000000")
    assert invoke(["agents", "list"]) == 1
    assert capsys.readouterr().err == f"error: the token file {tmp_path}/token is gone\nhint: stigmer up\n"
