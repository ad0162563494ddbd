"""Every move of the connection is one line of the log, one entry of health's history, and shown by `stigmer status`."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, served
from tests.support.temporal_server import DevServer

STOPPED = 3
"""What `status` exits with: the server runs by itself, so there is no stack."""


async def test_log_history_and_status_report_the_same_transitions(tmp_path: Path) -> None:
    with DevServer(tmp_path) as temporal:
        async with served(tmp_path, temporal.address) as server:
            await server.until("DISCONNECTED")
            temporal.start()
            await server.until("CONNECTED")
            temporal.kill()
            await server.until("DISCONNECTED")
            async with server.client() as client:
                history = (await client.health()).temporal.history
            shown = await eventually(lambda: asyncio.to_thread(_shown, server), within_s=15)
            page, brief = _status(server, "-v"), _status(server)
            lines = _lines(server)
    moves = [(change.before, change.after, change.cause) for change in history]
    assert moves[0] == ("CONNECTING", "DISCONNECTED", "connection refused")
    assert ("DISCONNECTED", "CONNECTED", "") in moves
    assert [(line["from"], line["to"], line["cause"]) for line in lines] == moves
    assert [(move["before"], move["after"], move["cause"]) for move in shown["history"]] == moves
    assert (shown["state"], shown["cause"]) == ("DISCONNECTED", moves[-1][2])
    first = lines[0]
    assert (first["level"], first["address"], first["attempt"]) == ("warning", temporal.address, 1)
    assert first["next_try_at"] > history[0].at.isoformat()[:19]
    assert page.count("\n  20") == len(moves)
    assert brief.count("\n  20") == 3
    assert "Z CONNECTING to DISCONNECTED: connection refused" in page


def test_status_without_a_server_has_no_connection_to_show(tmp_path: Path) -> None:
    server = Served(tmp_path, "127.0.0.1:1")
    assert json.loads(_status(server, "-o", "json"))["connection"] is None
    assert "connection to Temporal" not in _status(server)


def _shown(server: Served) -> dict[str, Any] | None:
    """The connection; None where the server was not quick enough for a look."""
    shown: dict[str, Any] | None = json.loads(_status(server, "-o", "json"))["connection"]
    return shown


def _status(server: Served, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stigmer_cli.cli", "status", *arguments],
        env={
            **os.environ,
            "STIGMER_HOME": str(server.home),
            "STIGMER_SERVER_PORT": str(server.port),
            "STIGMER_TOKEN": TOKEN,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == STOPPED, done.stderr
    return done.stdout


def _lines(server: Served) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == "temporal_connection_changed"]
