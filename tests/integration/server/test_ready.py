"""/readyz: a yes or no for whoever asks, proven by a row that was written, and a no before the door closes."""

import asyncio
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.support import postgres
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, served

NOWHERE = "127.0.0.1:1"
FOR_OTHERS = {"WEB_CONCURRENCY": "auto"}
"""What a shell may have for a server of another project: uvicorn takes it for a number."""

KNOWN = {"Authorization": f"Bearer {TOKEN}"}


async def ready(http: httpx.AsyncClient, headers: dict[str, str] | None = None) -> tuple[int, object]:
    """Status and body of /readyz."""
    response = await http.get("/readyz", headers=headers)
    return response.status_code, response.json()


async def test_a_foreign_client_gets_yes_or_no_and_the_owner_the_reason(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE, FOR_OTHERS) as server, httpx.AsyncClient(base_url=server.url) as http:
        assert await ready(http) == (200, {"ready": True, "reasons": []})
        assert (await http.get("/v1/health")).status_code == 401
        _move_away(tmp_path)

        async def is_refused() -> bool:
            return (await ready(http))[0] == 503

        await eventually(is_refused, within_s=5)
        assert await ready(http) == (503, {"ready": False, "reasons": []})
        assert await ready(http, {"Authorization": "Bearer wrong"}) == (503, {"ready": False, "reasons": []})
        status, body = await ready(http, KNOWN)
        assert status == 503
        assert "stigmer.db was deleted or replaced while it was in use" in str(body)


def _move_away(home: Path) -> None:
    for file in (home / "data").glob("stigmer.db*"):
        file.rename(file.with_name(f"moved-{file.name}"))


async def test_it_writes_a_row_and_no_more_than_one_a_second_however_often_one_asks(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE) as server, httpx.AsyncClient(base_url=server.url) as http:

        def written_at() -> str:
            with closing(sqlite3.connect(f"file:{tmp_path}/data/stigmer.db?mode=ro", uri=True)) as connection:
                row = connection.execute("SELECT value FROM meta WHERE key = 'ready_written_at'").fetchone()
                return str(row[0]) if row else ""

        first = written_at()

        async def is_written_again() -> bool:
            return (await ready(http))[0] == 200 and written_at() != first

        await eventually(is_written_again, within_s=5)
        loop = asyncio.get_running_loop()
        seen, began = set(), loop.time()
        for _ in range(100):
            assert (await ready(http))[0] == 200
            seen.add(written_at())
        assert len(seen) <= 2 + (loop.time() - began), "whoever has no token cannot keep the disk busy"


@pytest.fixture
def database() -> Iterator[str]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as cluster, cluster.database() as url:
        yield url


async def test_a_database_that_refuses_rows_is_reported_and_is_ready_when_it_accepts_them_again(
    tmp_path: Path, database: str
) -> None:
    """As after a failover, with the server still on what has become a read-only replica."""
    settings = {"STIGMER_DATABASE_URL": database}
    async with served(tmp_path, NOWHERE, settings) as server, httpx.AsyncClient(base_url=server.url) as http:

        async def status() -> int:
            return (await ready(http))[0]

        async def is_refused() -> bool:
            return await status() == 503 and "read-only transaction" in str(await ready(http, KNOWN))

        async def is_ready() -> bool:
            return await status() == 200

        assert await status() == 200
        await asyncio.to_thread(_take_rows, database, "on")
        await eventually(is_refused, within_s=20)
        await asyncio.to_thread(_take_rows, database, "off")
        await eventually(is_ready, within_s=20)


async def test_a_server_on_a_hot_standby_is_never_ready_and_says_why(tmp_path: Path) -> None:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as primary, primary.database() as url:
        async with served(tmp_path, NOWHERE, {"STIGMER_DATABASE_URL": url}):
            pass  # it makes the tables
        name = url.partition("?")[0].rpartition("/")[2]
        with postgres.replica(programs, primary) as standby:
            server = Served(tmp_path, NOWHERE, {"STIGMER_DATABASE_URL": standby.url(name)})
            server.spawn()
            try:
                assert "read-only transaction" in await eventually(partial(_refusal, server), within_s=30)
            finally:
                server.kill()


async def _refusal(server: Served) -> str:
    """Why the server is not ready, or has not begun to serve; empty while that is not known yet."""
    assert server.process is not None
    if server.process.poll():
        return server.log.read_text()
    async with httpx.AsyncClient(base_url=server.url) as http:
        with suppress(httpx.TransportError):
            status, body = await ready(http, KNOWN)
            return str(body) if status == 503 else ""
    return ""


def _take_rows(database: str, read_only: str) -> None:
    name = database.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(database, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(
                sql.Identifier(name), sql.SQL(read_only)
            )
        )
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [name],
        )


async def test_after_sigterm_it_says_no_while_everything_else_is_still_answered(tmp_path: Path) -> None:
    settings = {"STIGMER_LISTEN": "127.0.0.2", "STIGMER_BEHIND_PROXY": "true"}
    async with served(tmp_path, NOWHERE, settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        assert (await ready(http))[0] == 200
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)

        async def is_refused() -> bool:
            return (await ready(http))[0] == 503

        await eventually(is_refused, within_s=2)
        assert "the server is stopping" in str(await ready(http, KNOWN))
        for _ in range(20):
            async with httpx.AsyncClient(base_url=server.url, headers=KNOWN) as fresh:
                assert (await fresh.get("/v1/executions")).status_code == 200
        assert await asyncio.to_thread(server.process.wait, 15) == 0


async def test_the_stack_of_one_machine_says_no_as_well_and_does_not_wait_for_long(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE) as server, httpx.AsyncClient(base_url=server.url) as http:
        assert server.process is not None
        answers: list[int] = []
        server.process.send_signal(signal.SIGTERM)
        with suppress(httpx.TransportError):
            while True:
                answers.append((await ready(http))[0])
        assert answers[-1] == 503
        assert await asyncio.to_thread(server.process.wait, 5) == 0
