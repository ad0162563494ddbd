"""Many orphans, and a reconcile that is interrupted and killed: the next one goes on, and each has one effect."""

import asyncio
import json
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.client import Client
from stigmer_cli.errors import TemporalUnavailable
from tests.installed import Stigmer, collect, installed, until
from tests.served import TOKEN, Served, accept, make_agent
from tests.temporal_server import DevServer

ACCEPT_AT_ONCE = 16


class Many:
    """A server that reconciles only when told to, beside a Temporal in memory, and no runner."""

    def __init__(self, home: Path, temporal: DevServer) -> None:
        self.temporal = temporal
        self.server = Served(home, temporal.address, {"STIGMER_RECONCILE": "manual"})
        settings = {
            "STIGMER_SERVER_URL": self.server.url,
            "STIGMER_TOKEN": TOKEN,
            "STIGMER_TEMPORAL_ADDRESS": temporal.address,
        }
        self.stigmer = Stigmer(home, settings)

    async def make_orphans(self, number: int) -> None:
        """Have `number` executions accepted and submitted, and Temporal forget them all."""
        await self.server.start()
        async with self.server.client() as client:
            await make_agent(client)
            gate = asyncio.Semaphore(ACCEPT_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for n in range(number):
                    group.create_task(_accept(client, n, gate), name=f"accept {n}")
            await self._until_found(client, {"submitted": number})
            self.temporal.kill()
            self.temporal.start()
            await self._until_found(client, {"orphan": number})

    async def _until_found(self, client: Client, wanted: dict[str, int]) -> None:
        async with asyncio.timeout(60):
            while await self._found(client) != wanted:  # noqa: ASYNC110 - another process is looked at
                await asyncio.sleep(0.3)

    async def _found(self, client: Client) -> dict[str, int]:
        """How many orphans there are; where there are none, how many have been submitted."""
        try:
            items = [found async for found in client.reconcile(ReconcileRequest(dry_run=True))]
        except TemporalUnavailable:
            return {}
        found = Counter(item.found for item in items if isinstance(item, ReconcileItem))
        return dict(found) or {"submitted": len(self.timelines("submitted"))}

    def timelines(self, event: str) -> Counter[str]:
        """How often `event` stands in the timeline of each execution: the ledger."""
        query = "SELECT execution_id, count(*) FROM events WHERE type = ? GROUP BY execution_id"
        with closing(sqlite3.connect(f"file:{self.server.home}/data/stigmer.db?mode=ro", uri=True)) as database:
            return Counter(dict(database.execute(query, (event,)).fetchall()))

    def spawn(self) -> "subprocess.Popen[str]":
        """A reconcile under way, told of as stream-json."""
        return self.stigmer.spawn("executions", "reconcile", "--yes", "--wait=60", "-o", "stream-json")


async def _accept(client: Client, number: int, gate: asyncio.Semaphore) -> None:
    async with gate:
        await accept(client, f"orphan-{number}")


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Many]:
    home = tmp_path / "home"
    with DevServer(tmp_path) as temporal, installed(home) as _cleaner:
        one = Many(home, temporal.start())
        try:
            yield one
        finally:
            one.server.kill()


def _first_item(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    assert isinstance(line, dict)
    return line


def _end(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What is left on both streams: `communicate` would lose what `readline` has read ahead."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        rest, talk = process.stdout.read(), process.stderr.read()
    process.wait(timeout=30)
    return rest, talk


def _told(first: dict[str, Any], rest: str) -> tuple[list[str], dict[str, Any]]:
    """The ids told as resubmitted, and the last line."""
    lines = [first, *map(json.loads, rest.splitlines())]
    items = [line["item"] for line in lines if "item" in line]
    return [item["id"] for item in items if item["outcome"] == "resubmitted"], lines[-1]


def _interrupt(many: Many, number: int) -> None:
    """Ctrl-C: what was done is told, truly, and that it is not all."""
    process = many.spawn()
    first = _first_item(process)
    process.send_signal(signal.SIGINT)
    rest, talk = _end(process)
    assert process.returncode == 130, talk
    assert "the next reconcile goes on from there" in talk
    assert talk.splitlines()[-1] == "interrupted"
    told, last = _told(first, rest)
    assert last["complete"] is False
    assert last["summary"]["resubmitted"] == len(told) < number
    assert set(told) <= set(many.timelines("orphaned"))


def _kill(many: Many) -> None:
    process = many.spawn()
    first = _first_item(process)
    process.kill()
    rest, _talk = _end(process)
    told, _last = _told(first, "\n".join(line for line in rest.splitlines() if line.endswith("}")))
    assert set(told) <= set(many.timelines("orphaned"))


def _finish(many: Many, number: int) -> None:
    process = many.spawn()
    result, talk = process.communicate(timeout=90)
    assert process.returncode == 0, talk
    assert json.loads(result.splitlines()[-1])["complete"] is True
    assert json.loads(many.stigmer.ok("executions", "reconcile", "--yes", "-o", "json"))["items"] == []
    assert many.timelines("orphaned") == dict.fromkeys(many.timelines("accepted"), 1)
    assert len(many.timelines("accepted")) == number


def _perform(many: Many, number: int) -> None:
    """A runner comes at last: each execution has one effect."""
    stigmer = many.stigmer
    with (stigmer.home / "runner.log").open("ab") as log:
        runner = subprocess.Popen([stigmer.command, "work"], env=stigmer.environment, stdout=log, stderr=log, text=True)
    try:
        until(lambda: len(many.timelines("completed")) == number, within_s=100)
    finally:
        collect(runner)
    assert set(many.timelines("claimed").values()) == {1}
    assert set(many.timelines("completed").values()) == {1}
    assert min(many.timelines("message").values()) >= 2, "what was asked, and the answer, in one piece or more"


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(150, marks=pytest.mark.timeout(240)),
        pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
async def test_interrupted_and_killed_the_next_reconcile_goes_on_and_each_has_one_effect(
    many: Many, number: int
) -> None:
    await many.make_orphans(number)
    _interrupt(many, number)
    _kill(many)
    _finish(many, number)
    _perform(many, number)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_server_that_is_killed_in_the_middle_leaves_its_turn_to_the_next(many: Many) -> None:
    await many.make_orphans(1000)
    process = many.stigmer.spawn("executions", "reconcile", "--yes", "-o", "stream-json")
    first = _first_item(process)
    many.server.kill()
    rest, talk = _end(process)
    assert process.returncode == 4, talk
    assert "cannot be reached" in talk
    told, last = _told(first, rest)
    assert last["complete"] is False
    assert last["summary"]["resubmitted"] == len(told)
    assert set(told) <= set(many.timelines("orphaned"))
    await many.server.start()
    refused = many.stigmer("executions", "reconcile", "--yes")
    assert refused.returncode == 1
    assert "has been reconciling since" in refused.stderr
    _finish(many, 1000)
    _perform(many, 1000)
