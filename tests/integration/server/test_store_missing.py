"""A server whose store was deleted or exchanged while it was down does not begin with another one."""

import asyncio
from pathlib import Path

from stigmer_cli.settings import Home
from stigmer_cli.store_record import forget_store
from tests.support.running_server import Served, served

NOWHERE = "127.0.0.1:1"
STOP_MAX_S = 20.0


def _delete(home: Path) -> None:
    for file in (home / "data").glob("stigmer.db*"):
        file.unlink()


async def _exchange(home: Path) -> None:
    """Put the store of another home in the place of this one's."""
    other = home / "other"
    other.mkdir()
    async with served(other, NOWHERE) as server:
        await asyncio.to_thread(server.terminate)
    _delete(home)
    (other / "data" / "stigmer.db").rename(home / "data" / "stigmer.db")


async def test_it_refuses_to_start_without_its_store_until_that_is_given_up(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE) as server:
        await asyncio.to_thread(server.terminate)
        _delete(tmp_path)

        await _refused(server, "stigmer.db is gone: it held the executions of this home")
        assert not (tmp_path / "data" / "stigmer.db").exists()
        forget_store(Home(path=tmp_path))
        await server.start()


async def test_it_refuses_to_start_with_the_store_of_another_home(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE) as server:
        await asyncio.to_thread(server.terminate)
        await _exchange(tmp_path)

        await _refused(server, "and the executions of this home are in")


async def _refused(server: Served, message: str) -> None:
    server.spawn()
    assert server.process is not None
    assert await asyncio.wait_for(asyncio.to_thread(server.process.wait), STOP_MAX_S) == 1
    log = server.log.read_text(encoding="utf-8")
    assert '"code": "store-missing"' in log
    assert message in log
