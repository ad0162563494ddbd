"""Which database URLs mean one database, and that none shows its password."""

from pathlib import Path

import pytest

from stigmer_cli.database_url import database_of, has_password, without_password
from stigmer_cli.settings import Home

HOME = Home(path=Path("/home/me/.stigmer"))
PG = "postgresql://me:secret@db.example/work"

SAME = [
    (None, "sqlite:////home/me/.stigmer/data/stigmer.db"),
    (None, "sqlite:///data/stigmer.db"),
    ("sqlite:////home/me/.stigmer/data/../data/stigmer.db", None),
    (PG, "postgresql://me:another@db.example/work"),
    (PG, "postgresql://other@db.example:5432/work?sslmode=require"),
    (PG, "postgresql:///work?host=db.example&user=me&password=x"),
    (PG, "postgresql://me@db.example/?dbname=work"),
    ("postgresql://me@localhost/work", "postgresql:///work"),
    ("postgresql://me@127.0.0.1/work", "postgresql://me@localhost:5432/work"),
    ("postgresql://me@%2Frun%2Fpg/work", "postgresql://me@/work?host=/run/pg"),
    ("postgresql://me@/", "postgresql://me@/me"),
]
OTHERS = [
    (None, "sqlite:////tmp/other.db"),
    (None, PG),
    (PG, "postgresql://me:secret@db.example/other"),
    (PG, "postgresql://me:secret@db.example:5433/work"),
    (PG, "postgresql://me:secret@db2.example/work"),
    (PG, "postgresql://me:secret@db.example/work?options=-csearch_path%3Dother"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_urls_that_mean_one_database(one: str | None, other: str | None) -> None:
    assert database_of(one, HOME) == database_of(other, HOME)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_urls_that_mean_two(one: str | None, other: str | None) -> None:
    assert database_of(one, HOME) != database_of(other, HOME)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (PG, "postgresql://me@db.example/work"),
        (
            "postgresql://me:p/a?s:s#w@db.example:5433/work?sslmode=require",
            "postgresql://me@db.example:5433/work?sslmode=require",
        ),
        ("postgresql://db.example/work?user=me&password=secret", "postgresql://db.example/work?user=me"),
        ("postgresql://me:secret@", "postgresql://me@/"),
        ("postgresql://me:se\ncret@db/work", "postgresql://me@db/work"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert has_password(url)
    assert not has_password(shown)


def test_a_file_is_shown_as_it_is_and_has_none() -> None:
    assert without_password("sqlite:////a/b@c:d.db") == "sqlite:////a/b@c:d.db"
    assert not has_password("sqlite:////a/b@c:d.db")
