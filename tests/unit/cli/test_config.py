"""`stigmer config`: what is written is what is read, and comments stay."""

import json
from pathlib import Path

import pytest

from stigmer_cli.cli.entry import invoke


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STIGMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert invoke(["config", *arguments]) == 0
    return capsys.readouterr().out


def test_what_is_set_is_what_is_got_and_comes_from_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _shown(capsys, "set", "server_port", "9001")
    _shown(capsys, "set", "submit_policy", "fail-fast")
    assert (folder / "config.toml").read_text() == 'server_port = 9001\nsubmit_policy = "fail-fast"\n'
    assert (folder / "config.toml").stat().st_mode & 0o777 == 0o600
    assert _shown(capsys, "get", "server_port") == "9001\n"
    items = {item["name"]: item for item in json.loads(_shown(capsys, "list", "-o", "json"))["items"]}
    assert (items["submit_policy"]["value"], items["submit_policy"]["source"]) == ("fail-fast", "config.toml")
    assert items["ui_port"]["source"] == "default"


def test_comments_of_a_person_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "config.toml").write_text("# mine\nserver_port = 1 # why\n")
    _shown(capsys, "set", "server_port", "2")
    assert (folder / "config.toml").read_text() == "# mine\nserver_port = 2 # why\n"


def test_a_file_behind_a_link_is_changed_and_the_link_stays(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("# mine\n")
    folder.mkdir(mode=0o700)
    (folder / "config.toml").symlink_to(real)
    assert invoke(["config", "set", "server_port", "7333"]) == 0
    assert (folder / "config.toml").is_symlink()
    assert real.read_text() == "# mine\nserver_port = 7333\n"
    capsys.readouterr()


def test_what_is_unset_is_the_default_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "config.toml").write_text("# mine\nserver_port = 9001\n")
    _shown(capsys, "unset", "server_port")
    assert (folder / "config.toml").read_text() == "# mine\n"
    assert _shown(capsys, "get", "server_port") == "7234\n"


def test_what_was_not_set_is_said_and_a_name_that_is_no_setting_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["config", "unset", "server_port"]) == 0
    assert "does not set server_port; nothing was changed" in " ".join(capsys.readouterr().err.split())
    assert invoke(["config", "unset", "sever_port"]) == 2
    assert "did you mean server_port" in capsys.readouterr().err
    assert not (folder / "config.toml").exists()


def test_a_key_that_keeps_every_command_from_starting_can_be_unset(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (folder / "config.toml").write_text("sever_port = 9001\n")
    assert invoke(["config", "get", "server_port"]) == 2
    _shown(capsys, "unset", "sever_port")
    assert _shown(capsys, "get", "server_port") == "7234\n"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("server_port", "many", "'many' is not a port number"),
        ("sever_port", "1", "did you mean server_port"),
        ("reconcile", "sometimes", "none of auto, manual"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_written(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, value: str, words: str
) -> None:
    assert invoke(["config", "set", name, value]) == 2
    assert words in capsys.readouterr().err
    assert not (folder / "config.toml").exists()


def test_a_file_that_does_not_parse_names_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "config.toml").write_text("server_port = \n")
    assert invoke(["config", "list"]) == 2
    error = capsys.readouterr().err
    assert f"cannot read {folder}/config.toml" in error
    assert "hint: correct or remove" in error


def test_a_rotated_token_is_another_and_only_its_owners(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = set()
    for _ in range(3):
        _shown(capsys, "rotate-token")
        tokens.add((folder / "token").read_text())
    assert len(tokens) == 3
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["token"]


def test_a_token_of_the_environment_cannot_be_rotated_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STIGMER_TOKEN", "fixed")
    assert invoke(["config", "rotate-token"]) == 2
    assert "STIGMER_TOKEN" in capsys.readouterr().err
    assert not folder.exists()


def test_the_byte_order_mark_of_windows_is_no_part_of_the_first_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (folder / "config.toml").write_text("\ufeffserver_port = 1\n")
    _shown(capsys, "set", "server_port", "2")
    assert (folder / "config.toml").read_text() == "server_port = 2\n"
