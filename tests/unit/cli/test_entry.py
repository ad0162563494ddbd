"""The edge: every ending is an exit code, and every error a sentence with a way out."""

import sys

import pytest

from stigmer_cli.cli.entry import invoke


def test_on_windows_it_refuses_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert invoke(["status"]) == 2
    assert "WSL 2" in capsys.readouterr().err


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
