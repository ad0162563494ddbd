"""The store that a home has: recorded, and missed when it is gone."""

from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.domain.identity import StoreId
from stigmer_cli.errors import StoreMissing
from stigmer_cli.settings import Home, Settings
from stigmer_cli.store_record import (
    check_store,
    check_store_file,
    forget_store,
    read_store_record,
    recorded_store,
    write_store_record,
)
from tests.support.ids import STORE

OTHER = StoreId("str-other")
POSTGRESQL = "postgresql://me:hunter2@db.example/work"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=Home(path=tmp_path))


def test_a_new_home_may_have_any_store(settings: Settings) -> None:
    check_store(settings, STORE, check_store_file(settings))


def test_a_store_file_that_is_gone_is_refused_until_it_is_forgotten(settings: Settings) -> None:
    write_store_record(settings, STORE)
    with pytest.raises(
        StoreMissing, match=f"stigmer.db is gone: it held the executions of this home .{STORE}."
    ) as gone:
        check_store_file(settings)
    assert "stigmer up --new-store" in gone.value.hint

    settings.home.store_file.touch()
    check_store_file(settings)
    settings.home.store_file.unlink()
    forget_store(settings.home)
    check_store_file(settings)


def test_another_store_in_the_same_place_is_refused(settings: Settings) -> None:
    write_store_record(settings, STORE)
    check_store(settings, STORE, recorded_store(settings))
    with pytest.raises(StoreMissing, match=f"holds the store {OTHER}, and the executions of this home are in {STORE}"):
        check_store(settings, OTHER, recorded_store(settings))


def test_a_database_is_the_same_with_another_password_and_in_a_moved_home(settings: Settings, tmp_path: Path) -> None:
    write_store_record(settings, STORE)
    moved = Home(path=tmp_path / "moved")
    moved.data.mkdir(parents=True)
    settings.home.store_id_file.rename(moved.store_id_file)
    assert recorded_store(Settings(home=moved)) == STORE

    shared = replace(settings, database_url=POSTGRESQL)
    write_store_record(shared, STORE)
    assert "hunter2" not in settings.home.store_id_file.read_text(encoding="utf-8")
    assert recorded_store(replace(shared, database_url=POSTGRESQL.replace("hunter2", "new"))) == STORE
    with pytest.raises(StoreMissing, match=r"postgresql://me@db\.example/work holds the store"):
        check_store(shared, OTHER, recorded_store(shared))


def test_nothing_is_known_about_another_database(settings: Settings) -> None:
    write_store_record(settings, STORE)
    elsewhere = replace(settings, database_url=POSTGRESQL)
    assert recorded_store(elsewhere) is None
    check_store(elsewhere, OTHER, recorded_store(elsewhere))


@pytest.mark.parametrize("text", ["", "\n", "\xff"])
def test_a_record_that_cannot_be_read_is_none(settings: Settings, text: str) -> None:
    settings.home.data.mkdir()
    settings.home.store_id_file.write_bytes(text.encode("latin-1"))
    assert read_store_record(settings.home) is None


def test_the_record_of_an_older_version_names_the_store_only(settings: Settings) -> None:
    settings.home.data.mkdir()
    settings.home.store_id_file.write_text(f"{STORE}\n", encoding="utf-8")
    record = read_store_record(settings.home)
    assert record is not None
    assert (record.id, record.url) == (STORE, None)
    assert recorded_store(settings) is None
