"""More that is open than can be looked up in a moment: doctor looks from both ends."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.doctor import open_work
from tests.support.orphans import cluster_of, write_orphans
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, make_agent
from tests.support.temporal_server import DevServer

OPEN = 12_000
"""Temporal is asked about some three thousand in a second, and doctor has not quite one."""
LOOKS_MAX = 10


async def _nowhere() -> None:
    return None


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
            newest = write_orphans(file, 3, taken_by="another")
            await server.start()
            await server.until()
            probe = partial(
                open_work.probe_executions,
                open_work.Caller(url=server.url, token=TOKEN),
                where=_nowhere,
                clock=SystemClock(),
            )
            seen = await probe()
            for _ in range(LOOKS_MAX):  # the newest have less than a second, which a busy machine may take away
                if not seen.unjudged:
                    break
                seen = await probe()
        finally:
            server.kill()
    assert (seen.is_cut, seen.is_judged, seen.is_whole, seen.unjudged) == (True, True, False, frozenset())
    assert set(newest) <= {drift.id for drift in seen.drifts if drift.found == "orphan"}
