"""Which store a home has, as its server wrote it down: a store that is gone is never replaced by an empty one unasked.

An empty store looks healthy, and answers 404 for every execution that was accepted before.
"""

import shlex
from dataclasses import dataclass

from stigmer_cli.database_url import database_of, sqlite_file, without_password
from stigmer_cli.domain.identity import StoreId
from stigmer_cli.errors import StoreMissing
from stigmer_cli.files import OWNER_ONLY, write_atomically
from stigmer_cli.settings import Home, Settings


@dataclass(frozen=True, kw_only=True)
class StoreRecord:
    """The store that a server of the home opened last, and the URL of its database, without a password.

    `url` is empty for the file in the home, wherever that is moved; None where an older version wrote the record.
    """

    id: StoreId
    url: str | None


def read_store_record(home: Home) -> StoreRecord | None:
    """What `home` records; None where there is none, or it cannot be read."""
    try:
        id_, *url = home.store_id_file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return StoreRecord(id=StoreId(id_.strip()), url=url[0] if url else None) if id_.strip() else None


def write_store_record(settings: Settings, store: StoreId) -> None:
    """Record that the database of `settings` holds `store`; raises OSError."""
    file = settings.home.store_id_file
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, f"{store}\n{_url_of(settings)}\n".encode(), OWNER_ONLY)


def forget_store(home: Home) -> None:
    """Let the next server of `home` begin with whatever store it finds, or with an empty one. Raises OSError."""
    home.store_id_file.unlink(missing_ok=True)


def recorded_store(settings: Settings) -> StoreId | None:
    """The store that the database of `settings` should hold; None where nothing is recorded about that database."""
    record = read_store_record(settings.home)
    if record is None or record.url is None:
        return None
    home = settings.home
    is_same = database_of(record.url or None, home) == database_of(settings.database_url, home)
    return record.id if is_same else None


def check_store_file(settings: Settings) -> StoreId | None:
    """`recorded_store`; raises StoreMissing where the SQLite file is not there, and the home has had a store in it."""
    recorded, file = recorded_store(settings), sqlite_file(settings.database_url, settings.home)
    if recorded is not None and file is not None and not file.exists():
        raise _missing(f"{file} is gone: it held the executions of this home ({recorded})", settings, f"restore {file}")
    return recorded


def check_store(settings: Settings, found: StoreId, recorded: StoreId | None) -> None:
    """Raise StoreMissing where the database holds `found`, and the home has had another store in it, `recorded`."""
    if recorded is not None and recorded != found:
        where = without_password(settings.database_target)
        message = f"{where} holds the store {found}, and the executions of this home are in {recorded}"
        raise _missing(message, settings, f"restore {recorded}")


def _missing(message: str, settings: Settings, restore: str) -> StoreMissing:
    by_serve = f"with stigmer serve: rm {shlex.quote(str(settings.home.store_id_file))}"
    return StoreMissing(message, hint=f"{restore}, or leave these executions: stigmer up --new-store ({by_serve})")


def _url_of(settings: Settings) -> str:
    return without_password(settings.database_url) if settings.database_url else ""
