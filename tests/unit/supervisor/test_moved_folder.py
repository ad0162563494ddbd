"""Which new path of a supervisor's folder is a move that it goes along with, and what lies where then."""

from pathlib import Path

import pytest

from stigmer_cli.supervisor.moved_folder import Move
from stigmer_cli.supervisor.spec import ChildSpec

BEFORE = Path("/srv/shop/.stigmer/run")


def move(now: str) -> Move:
    found = Move.between(BEFORE, Path(now))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "now",
    [
        "/srv/shop/.stigmer.old/run",
        "/srv/shop/.stigmer/run.old",
        "/home/ada/.local/share/Trash/files/shop/.stigmer/run",
        "/mnt/usb/.Trash-1000/files/shop/.stigmer/run",
        "/Users/ada/.Trash/shop/.stigmer/run",
    ],
)
def test_a_folder_that_is_set_aside_or_thrown_away_is_not_followed(now: str) -> None:
    assert Move.between(BEFORE, Path(now)) is None


@pytest.mark.parametrize("now", ["/srv/store/.stigmer/run", "/home/ada/old/shop/.stigmer/run", "/x/.stigmer/run"])
def test_a_folder_that_is_moved_along_is_followed(now: str) -> None:
    assert move(now).path(BEFORE / "supervisor.sock") == Path(now) / "supervisor.sock"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("/srv/shop/.stigmer", "/srv/store/.stigmer"),
        ("/srv/shop/.venv/bin/python", "/srv/store/.venv/bin/python"),
        ("/srv/shop/.venv/bin:/usr//bin/:/srv/shopping", "/srv/store/.venv/bin:/usr//bin/:/srv/shopping"),
        ("sqlite:////srv/shop/.stigmer/x.db", "sqlite:////srv/store/.stigmer/x.db"),
        ("postgresql://srv/shop/.stigmer", "postgresql://srv/shop/.stigmer"),
        ("hello", "hello"),
        ("", ""),
    ],
)
def test_a_text_names_the_places_as_they_are_now(before: str, now: str) -> None:
    assert move("/srv/store/.stigmer/run").text(before) == now


def test_what_stayed_beside_the_home_is_named_as_before(tmp_path: Path) -> None:
    python = tmp_path / "shop" / ".venv" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    found = Move.between(tmp_path / "shop" / ".stigmer" / "run", tmp_path / "store" / ".stigmer" / "run")
    assert found is not None
    spec = ChildSpec(
        name="server",
        argv=(str(python), "serve"),
        env={"STIGMER_HOME": str(tmp_path / "shop" / ".stigmer")},
        cwd=tmp_path / "shop" / ".stigmer",
        log=tmp_path / "shop" / ".stigmer" / "logs" / "server.log",
    )
    moved = found.child(spec)
    home = tmp_path / "store" / ".stigmer"
    assert (moved.argv, moved.env, moved.cwd, moved.log) == (
        spec.argv,
        {"STIGMER_HOME": str(home)},
        home,
        home / "logs" / "server.log",
    )
