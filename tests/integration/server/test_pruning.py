"""Deleting executions that have ended, from the command line and by the server's own setting."""

import asyncio
import json
from pathlib import Path

import pytest

from stigmer_cli.api.query import Query
from stigmer_cli.errors import NotFound
from tests.integration.server.test_finding import NOWHERE, create, found, stigmer
from tests.support.running_server import make_agent, served

OLD = "aex-01kqrxnp6m8w8t6e3d2m5k7j9z"
"""An id that was made in May 2026."""


async def test_exactly_what_was_shown_is_deleted(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE) as server, server.client() as client:
        await make_agent(client)
        ids = [await create(client, f"number{n}", {"n": str(n % 2)}) for n in range(5)]
        await client.cancel_executions(ids[:4])
        refused = stigmer(server, "executions", "prune", "--older-than", "0")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "cannot ask before deleting: there is no terminal" in refused.stderr
        none = stigmer(server, "executions", "prune", "--older-than", "1h", "--yes")
        assert (none.returncode, none.stdout) == (0, "no executions that have ended match --older-than 1h\n")
        planned = stigmer(server, "executions", "prune", "--older-than", "0", "--label", "n=1", "--dry-run")
        assert planned.stdout.endswith("would be deleted: 2\n")
        assert len(await found(client, Query())) == 5
        done = stigmer(server, "executions", "prune", "--older-than", "0", "--keep-last", "1", "--yes", "-o", "json")
        assert json.loads(done.stdout) == {
            "dryRun": False,
            "ids": ids[2::-1],
            "summary": {"selected": 3, "deleted": 3, "kept": 0},
            "complete": True,
        }
        assert await found(client, Query()) == ids[:2:-1]
        assert [item.outcome for item in await client.prune_executions([ids[4], ids[3], OLD])] == [
            "kept",
            "deleted",
            "kept",
        ]
        wrong = stigmer(server, "executions", "prune", "--older-than", "0", "--phase", "PENDING", "--yes")
        assert (wrong.returncode, "such an execution has not ended" in wrong.stderr) == (2, True)


async def test_the_server_says_that_its_setting_deletes_old_ones(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE, {"STIGMER_RETENTION": "30d"}) as server, server.client() as client:
        with pytest.raises(NotFound, match=r"it is older than 30d, and STIGMER_RETENTION deletes such executions"):
            await client.execution(OLD)
        await make_agent(client)
        kept = await create(client, "hello", {})
        await client.cancel_execution(kept)
        await asyncio.sleep(0.3)
        assert await found(client, Query()) == [kept]
