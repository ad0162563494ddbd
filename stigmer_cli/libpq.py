"""The variables by which PostgreSQL's client library finds a database, made part of the database URL.

The library fills in from its environment whatever a URL does not say (PostgreSQL's manual, "Environment Variables").
So one URL would mean one server in this shell and another one in the next, and a part that restarts would change
databases unnoticed. What they say is therefore read with the settings, once, and a server never sees them.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

SCHEME = "postgresql://"
PLACES = {"PGHOST": "host", "PGHOSTADDR": "hostaddr", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}
SERVICE = "PGSERVICE"
"""Names a section of a file that may say all of it, too; a URL names one with `?service=NAME`."""

TAKEN = frozenset({*PLACES, SERVICE})
"""What a server must not see in its environment. Passwords and what is for TLS stay: a wrong one fails."""

URL = re.compile(
    r"postgresql://(?:(?P<user>[^:/@]*)(?::[^@]*)?@)?(?P<host>\[[^\]]*\]|[^:/?]*)(?::(?P<port>[^/?]*))?/?(?P<dbname>[^?]*)"
)
"""As SQLAlchemy reads it: a password may hold anything but `@`, also unquoted."""


LOCK_TIMEOUT = "lock timeout"
"""In PostgreSQL's words for a statement that waited too long for somebody else's lock."""

WHO_LOCKS = (
    'psql "$STIGMER_DATABASE_URL" -c "SELECT pid, application_name, xact_start, query FROM pg_stat_activity'
    " WHERE state LIKE 'idle in transaction%'\""
)
"""Shows who may hold a lock for long; `SELECT pg_terminate_backend(pid)` ends that."""


def complete_url(url: str, environ: Mapping[str, str]) -> str:
    """`url` with what it leaves open taken from `environ`; as it is where it is no PostgreSQL URL that can be read."""
    found = URL.match(url)
    if found is None:
        return url
    query = url[found.end() :].removeprefix("?")
    said = {name for name, value in found.groupdict().items() if value} | dict(parse_qsl(query)).keys()
    if "service" in said:
        return url
    if "host" in said or "hostaddr" in said:
        said |= {"host", "hostaddr"}
    more = {name: environ[variable] for variable, name in PLACES.items() if name not in said and environ.get(variable)}
    if not more:
        return url
    return f"{found[0]}?{'&'.join(part for part in (query, urlencode(more)) if part)}"


def unused_service(url: str | None, environ: Mapping[str, str]) -> str:
    """What to tell of a service that the environment names and the URL does not; empty where there is none."""
    if not environ.get(SERVICE) or not (url or "").startswith(SCHEME) or "service=" in (url or ""):
        return ""
    return f"variable {SERVICE} does not count: put service=NAME into the database URL"
