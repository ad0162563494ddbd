"""A throw-away PostgreSQL cluster for tests: its own folder, its own socket, no TCP port, gone when the tests are."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
from psycopg import sql

START_MAX_S = 30
WHY_NOT = "PostgreSQL is not here: no /usr/lib/postgresql/*/bin/initdb (Debian: apt install postgresql)"
SUPERUSER = "stigmer"


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL that Debian's packages installed; None if there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running server that only its socket folder leads to."""

    folder: Path
    command: tuple[str, ...]
    servers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self.servers.append(subprocess.Popen(self.command, stdout=log, stderr=log))
        _wait_ready(self.folder, self.servers[-1])

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it: INT is PostgreSQL's fast shutdown, which cuts every connection, QUIT its immediate one."""
        self.servers[-1].send_signal(number)
        self.servers[-1].wait(START_MAX_S)

    @contextmanager
    def database(self, *, template: str = "template1") -> Iterator[str]:
        """The URL of a new database, dropped at the end: a copy of the one called `template`, or empty."""
        name = f"t{uuid4().hex}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield self.url(name)
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        """The URL of the database `name`."""
        return f"postgresql://{SUPERUSER}@/{name}?host={quote(str(self.folder), safe='')}"

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(host=str(self.folder), user=SUPERUSER, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running(programs: Path) -> Iterator[Cluster]:
    """A cluster of its own for as long as the block runs; its locale sorts unlike C, so that a test can tell."""
    folder = Path(tempfile.mkdtemp(prefix="stigmer-pg-"))
    data = folder / "data"
    as_user = _as_user(folder)
    try:
        _call(
            *as_user,
            *(str(programs / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync"),
            *("--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en"),
        )
        with _served(programs, folder) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replica(programs: Path, primary: Cluster) -> Iterator[Cluster]:
    """A hot standby that follows `primary`: it can be read, and takes no writes."""
    folder = Path(tempfile.mkdtemp(prefix="stigmer-pg-"))
    try:
        copy = (str(programs / "pg_basebackup"), "-D", str(folder / "data"), "-h", str(primary.folder), "-U", SUPERUSER)
        _call(*_as_user(folder), *copy, "-R", "-X", "stream", "-c", "fast")
        with _served(programs, folder) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _served(programs: Path, folder: Path) -> Iterator[Cluster]:
    """The server on the data in `folder`, for as long as the block runs."""
    # A child that ends with us, also when we are killed: QUIT is PostgreSQL's immediate shutdown.
    options = ("-k", str(folder), "-h", "", "-F", "-c", "max_connections=200")
    command = [*_as_user(folder), "--pdeathsig=QUIT", str(programs / "postgres"), "-D", str(folder / "data"), *options]
    cluster = Cluster(folder=folder, command=tuple(command))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop(signal.SIGQUIT)


def _wait_ready(folder: Path, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_MAX_S
    while True:
        try:
            psycopg.connect(host=str(folder), user=SUPERUSER, dbname="postgres").close()
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()}") from error
            time.sleep(0.05)
        else:
            return


def _as_user(folder: Path) -> list[str]:
    """What starts a program as somebody who is not root, which PostgreSQL insists on; `folder` becomes theirs."""
    if os.geteuid() != 0:
        return ["setpriv"]
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_MAX_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
