"""Database URLs: which two mean one database, and how one is shown without its password."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

from stigmer_cli.settings import Home

SQLITE, POSTGRESQL = "sqlite", "postgresql"
PORT = "5432"
SECRETS = frozenset({"password", "sslpassword"})
PLACES = ("host", "hostaddr", "port", "dbname", "options", "service")
"""The parameters of a query that say where the database is; `options` may name a schema."""

URL = re.compile(
    r"(?P<scheme>[\w+]+)://(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?(?P<place>[^/?]*)/?(?P<name>[^?]*)"
    r"(?:\?(?P<query>.*))?"
)
"""As SQLAlchemy reads it: a password may hold anything but `@`, also unquoted."""


@dataclass(frozen=True, kw_only=True)
class DatabaseLocation:
    """Where a database is. URLs of equal location mean the same database, whatever the credentials."""

    kind: str
    place: str
    name: str
    more: tuple[tuple[str, str], ...] = ()


def database_of(url: str | None, home: Home) -> DatabaseLocation:
    """The database that `url` means; None means the SQLite file in `home`."""
    if url is None:
        return DatabaseLocation(kind=SQLITE, place="", name=_file(str(home.store_file), home))
    if url.startswith(f"{SQLITE}:///"):
        return DatabaseLocation(
            kind=SQLITE, place="", name=_file(url.removeprefix(f"{SQLITE}:///").partition("?")[0], home)
        )
    parts = _parts(url)
    query = dict(parse_qsl(parts["query"], keep_blank_values=True))
    host, _, port = parts["place"].rpartition(":") if parts["place"].rpartition(":")[2].isdigit() else ("", "", "")
    host = query.get("hostaddr") or query.get("host") or host or parts["place"] or "localhost"
    more = tuple((name, query[name]) for name in PLACES[4:] if name in query)
    return DatabaseLocation(
        kind=POSTGRESQL,
        place=f"{'127.0.0.1' if host == 'localhost' else unquote(host)}:{query.get('port') or port or PORT}",
        name=query.get("dbname") or unquote(parts["name"]) or unquote(parts["user"]),
        more=more,
    )


def sqlite_file(url: str | None, home: Home) -> Path | None:
    """The file that `url` means (None: the one in `home`); None where it means no SQLite database."""
    found = database_of(url, home)
    return Path(found.name) if found.kind == SQLITE else None


def without_password(url: str) -> str:
    """`url` with no password in it, as it may be written down and shown."""
    if url.startswith(f"{SQLITE}:"):
        return url
    parts = _parts(url)
    user = f"{parts['user']}@" if parts["user"] else ""
    pairs = [(name, value) for name, value in parse_qsl(parts["query"], keep_blank_values=True) if name not in SECRETS]
    query = f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""
    return f"{parts['scheme']}://{user}{parts['place']}/{parts['name']}{query}"


def has_password(url: str) -> bool:
    """Whether `url` holds a password."""
    if url.startswith(f"{SQLITE}:"):
        return False
    parts = _parts(url)
    return bool(parts["password"]) or any(name in SECRETS for name, _ in parse_qsl(parts["query"]))


def _parts(url: str) -> Mapping[str, str]:
    found = URL.fullmatch(url)
    if found is None:  # its parts are unknown, so nothing of it is shown
        return {"scheme": url.partition(":")[0], "user": "", "password": "?", "place": "", "name": "", "query": ""}
    return {name: value or "" for name, value in found.groupdict().items()}


def _file(name: str, home: Home) -> str:
    return str((home.path / Path(name)).resolve())
