"""The timeline of an execution that has more events than a page of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from stigmer_cli.api.resources import EVENTS_MAX
from tests.support.running_server import accept, make_agent, served
from tests.support.temporal_server import free_port

COPY_THE_FIRST = """
WITH RECURSIVE numbers(seq) AS (SELECT 2 UNION ALL SELECT seq + 1 FROM numbers WHERE seq < ?)
INSERT INTO events SELECT execution_id, numbers.seq, at, type, text, data FROM events, numbers WHERE events.seq = 1
"""


async def test_a_timeline_longer_than_a_page_is_read_to_its_end(tmp_path: Path) -> None:
    last = 2 * EVENTS_MAX + 1
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server, server.client() as client:
        await make_agent(client)
        name = (await accept(client, "k1")).metadata.id
        with closing(sqlite3.connect(server.home / "data" / "stigmer.db")) as store, store:
            store.execute(COPY_THE_FIRST, [last])
        assert [event.seq for event in await client.events(name)] == list(range(1, last + 1))
