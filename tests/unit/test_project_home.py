"""Which home a working directory means, and that only one which was made here counts."""

import shutil
from pathlib import Path

import pytest

from stigmer_cli.project_home import HomeSource, Origin, Provenance, find_project_home, find_provenance, record_origin
from stigmer_cli.settings import find_doubts, home_of


def project(folder: Path) -> Path:
    """A project in `folder`, as `stigmer init` makes it."""
    home = folder / ".stigmer"
    home.mkdir(parents=True, mode=0o700)
    (home / "config.toml").write_text("server_port = 7244\n")
    record_origin(home, Provenance(origin=Origin.EMPTY))
    return home


def test_the_nearest_project_above_counts_and_the_variable_before_it(tmp_path: Path) -> None:
    outer, inner = project(tmp_path / "p"), project(tmp_path / "p" / "sub")
    deep = tmp_path / "p" / "sub" / "a" / "b"
    deep.mkdir(parents=True)

    def found(start: Path | None, **environ: str) -> tuple[Path, HomeSource]:
        home = home_of(environ, user_home=tmp_path, working_directory=start)
        return home.path, home.source

    assert found(deep) == (inner, HomeSource.PROJECT)
    assert found(inner / "logs") == (inner, HomeSource.PROJECT)
    assert found(tmp_path / "p") == (outer, HomeSource.PROJECT)
    assert found(tmp_path) == (tmp_path / ".stigmer", HomeSource.DEFAULT)
    assert found(deep, STIGMER_HOME="/x") == (Path("/x"), HomeSource.VARIABLE)
    assert found(None) == (tmp_path / ".stigmer", HomeSource.DEFAULT)


def test_the_home_of_the_user_is_the_default_one_also_below_it_and_through_a_link(tmp_path: Path) -> None:
    default = project(tmp_path / "ada")
    (tmp_path / "link").symlink_to(tmp_path / "ada")
    assert find_project_home(tmp_path / "ada" / "work", default) is None
    assert find_project_home(tmp_path / "link" / "work", default) is None
    (tmp_path / "ada" / "work").mkdir()
    (tmp_path / "ada" / "work" / ".stigmer").write_text("a file is no home")
    assert find_project_home(tmp_path / "ada" / "work", default) is None


def test_a_checkout_a_copy_and_another_disk_are_told_from_what_was_made_here(tmp_path: Path) -> None:
    home = project(tmp_path / "p")
    assert find_provenance(home).origin is Origin.OWN
    shutil.copytree(home, tmp_path / "q" / ".stigmer")
    copied = find_provenance(tmp_path / "q" / ".stigmer")
    assert (copied.origin, copied.made_at) == (Origin.COPY, home)
    shutil.rmtree(home)
    assert find_provenance(tmp_path / "q" / ".stigmer").origin is Origin.MOVED
    (tmp_path / "q" / ".stigmer" / "home.json").write_text("{}")
    assert find_provenance(tmp_path / "q" / ".stigmer").origin is Origin.UNRECORDED
    (tmp_path / "r" / ".stigmer").mkdir(parents=True)
    assert find_provenance(tmp_path / "r" / ".stigmer").origin is Origin.EMPTY
    assert find_provenance(tmp_path / "nowhere").origin is Origin.EMPTY


def test_a_project_that_is_renamed_stays_its_own(tmp_path: Path) -> None:
    project(tmp_path / "p")
    (tmp_path / "p").rename(tmp_path / "q")
    assert find_provenance(tmp_path / "q" / ".stigmer").origin is Origin.OWN


@pytest.mark.parametrize("is_named", [True, False])
def test_what_came_with_a_repository_is_not_trusted_unless_it_is_named(tmp_path: Path, *, is_named: bool) -> None:
    home = tmp_path / "clone" / ".stigmer"
    home.mkdir(parents=True, mode=0o700)
    (home / "config.toml").write_text('temporal_binary = "./evil"\n')
    environ = {"STIGMER_HOME": str(home)} if is_named else {}
    doubts = find_doubts(home_of(environ, user_home=tmp_path, working_directory=home.parent))
    assert [doubt.message for doubt in doubts] == (
        [] if is_named else [f"{home} was not made here: it was moved, copied or checked out"]
    )
    assert [doubt.fix for doubt in doubts] == ([] if is_named else ["look into it, then take it over: stigmer init"])


def test_a_copy_of_a_home_that_was_renamed_before_is_known_for_a_copy(tmp_path: Path) -> None:
    project(tmp_path / "p")
    home = tmp_path / "q" / ".stigmer"
    (tmp_path / "p").rename(tmp_path / "q")
    record_origin(home, find_provenance(home))  # as `up` does
    copy = tmp_path / "copy" / ".stigmer"
    shutil.copytree(home, copy)
    assert (find_provenance(copy).origin, find_provenance(copy).original) == (Origin.COPY, home)


def test_a_copy_that_was_taken_over_knows_its_original(tmp_path: Path) -> None:
    home, copy = project(tmp_path / "p"), tmp_path / "copy" / ".stigmer"
    shutil.copytree(home, copy)
    record_origin(copy, find_provenance(copy))
    (tmp_path / "copy").rename(tmp_path / "renamed")
    renamed = tmp_path / "renamed" / ".stigmer"
    record_origin(renamed, find_provenance(renamed))
    found = find_provenance(renamed)
    assert (found.origin, found.made_at, found.original) == (Origin.OWN, renamed, home)
