"""Paths as people write them."""

import os
from pathlib import Path

import pytest

from stigmer_cli.errors import ConfigError
from stigmer_cli.paths import absolute_path, find_user_home
from stigmer_cli.settings import home_of


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert absolute_path("~/x") == tmp_path / "x"
    assert find_user_home() == tmp_path


def test_the_home_of_a_user_who_does_not_exist_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="cannot expand ~nosuch in '~nosuch/x'"):
        absolute_path("~nosuch/x")


def test_a_relative_path_in_a_deleted_directory_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deleted = tmp_path / "deleted"
    deleted.mkdir()
    monkeypatch.chdir(deleted)
    deleted.rmdir()

    assert absolute_path("/x") == Path("/x")
    with pytest.raises(ConfigError, match="cannot resolve the relative path 'x': the working directory has been del"):
        absolute_path("x")


def test_without_a_home_directory_the_home_has_to_be_named() -> None:
    assert home_of({"STIGMER_HOME": "/srv/stigmer"}, user_home=None).path == Path("/srv/stigmer")
    with pytest.raises(ConfigError, match="there is no home directory: HOME is not set") as caught:
        home_of({}, user_home=None)
    assert caught.value.hint == "export STIGMER_HOME=DIRECTORY"


def test_a_path_that_is_not_utf_8_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"the path b'/tmp/caf\\xe9' is not UTF-8"):
        absolute_path(os.fsdecode(b"/tmp/caf\xe9"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file", "it is no folder"),
        ("file/home", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("circle/home", "Too many levels of symbolic links"),
    ],
)
def test_where_no_folder_can_be_is_a_sentence(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(ConfigError) as caught:
        home_of({"STIGMER_HOME": str(tmp_path / name)}, user_home=None)
    assert caught.value.message == f"cannot use {tmp_path / name}: {why}"
    assert caught.value.hint.endswith("export STIGMER_HOME=DIRECTORY")
