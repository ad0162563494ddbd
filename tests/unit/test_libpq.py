"""What a PostgreSQL URL leaves open is taken from the shell once, and what it says is never replaced."""

from pathlib import Path

import pytest

from stigmer_cli.libpq import complete_url
from stigmer_cli.settings import load

SHELL = {
    "PGHOST": "/run/pg",
    "PGHOSTADDR": "10.0.0.9",
    "PGPORT": "5433",
    "PGUSER": "me",
    "PGDATABASE": "work",
    "PGPASSWORD": "secret",
    "PGSSLMODE": "require",
}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://", "?host=%2Frun%2Fpg&hostaddr=10.0.0.9&port=5433&user=me&dbname=work"),
        ("postgresql:///", "?host=%2Frun%2Fpg&hostaddr=10.0.0.9&port=5433&user=me&dbname=work"),
        ("postgresql:///db", "?host=%2Frun%2Fpg&hostaddr=10.0.0.9&port=5433&user=me"),
        ("postgresql://you@/db?sslmode=disable", "&host=%2Frun%2Fpg&hostaddr=10.0.0.9&port=5433"),
        ("postgresql://you:p/w:@h/db", "?port=5433"),
        ("postgresql://h/db?user=you", "&port=5433"),
        ("postgresql://you@/db?host=/tmp", "&port=5433"),
        ("postgresql://you@/db?hostaddr=10.0.0.1&port=1", ""),
        ("postgresql://you:p@h:1/db", ""),
        ("postgresql://you@[::1]:1/db", ""),
        ("postgresql://?service=mine", ""),
        ("sqlite:////tmp/x.db", ""),
    ],
)
def test_only_what_the_url_leaves_open_comes_from_the_shell(url: str, expected: str) -> None:
    assert complete_url(url, SHELL) == url + expected


def test_a_shell_that_says_nothing_changes_nothing() -> None:
    assert complete_url("postgresql:///db", {"PGHOST": ""}) == "postgresql:///db"


def test_a_part_gets_the_whole_url_and_none_of_the_variables(tmp_path: Path) -> None:
    shell = {**SHELL, "STIGMER_DATABASE_URL": "postgresql://you@h/db", "PGSERVICE": "mine"}
    settings = load({}, shell, user_home=tmp_path)
    given = settings.environment_in(shell)
    assert {name: value for name, value in given.items() if name.startswith("PG")} == {
        "PGPASSWORD": "secret",
        "PGSSLMODE": "require",
    }
    assert given["STIGMER_DATABASE_URL"] == "postgresql://you@h/db?port=5433"
    assert settings.warnings == ("variable PGSERVICE does not count: put service=NAME into the database URL",)
