"""More that is open than can be looked up in a moment: the server looks from both ends when doctor asks."""

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.doctor.facts import open_work
from stigmer_cli.doctor.facts.quiet_work import Caller
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.judgement.wire import IDS_MAX
from tests.support.orphans import cluster_of, write_orphans
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, make_agent
from tests.support.temporal_server import DevServer

OPEN = 12_000
"""Temporal is asked about some three thousand in a second, and the server takes half of one."""

CLAIM = "UPDATE executions SET phase = 'IN_PROGRESS', claimed_run = run_id, started_at = created_at WHERE id = ?"
LOOKS_MAX = 10


async def _nowhere() -> open_work.Surroundings:
    return open_work.Surroundings()


def _claim(file: Path, names: list[str]) -> None:
    """Have a run hold each of them, so that they are of another class than all others."""
    with closing(sqlite3.connect(file)) as store:
        store.executemany(CLAIM, [(name,) for name in names])
        store.commit()


async def test_the_newest_are_looked_at_however_many_came_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_work, "PAGE", 5)
    with DevServer(tmp_path) as temporal:
        await asyncio.to_thread(temporal.start)
        server, file = Served(tmp_path, temporal.address, {"STIGMER_RECONCILE": "manual"}), tmp_path / "data/stigmer.db"
        try:
            await server.start()
            async with server.client() as client:
                await make_agent(client)
            cluster = await eventually(lambda: asyncio.to_thread(cluster_of, file), within_s=10)
            server.terminate()
            write_orphans(file, OPEN, taken_by=cluster)
            newest = write_orphans(file, 3, taken_by=cluster)
            _claim(file, newest)
            await server.start()
            await server.until()
            probe = partial(
                open_work.probe_executions,
                Caller(url=server.url, token=TOKEN),
                look=_nowhere,
                clock=SystemClock(),
            )
            seen = await probe()
            for _ in range(LOOKS_MAX):  # the server has less than a second, which a busy machine may take away
                if seen.groups(StuckClass.INTERRUPTED):
                    break
                seen = await probe()
        finally:
            server.kill()
    assert (seen.is_cut, seen.is_judged, seen.is_whole) == (True, True, False)
    assert [sorted(group.ids) for group in seen.groups(StuckClass.INTERRUPTED)] == [sorted(newest)]
    [orphans] = seen.groups(StuckClass.ORPHAN)
    assert orphans.count >= len(orphans.ids) == IDS_MAX
