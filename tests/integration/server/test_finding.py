"""Finding executions over HTTP: every parameter counts, pages go on, and a parameter that cannot be used is named."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.cli.entry import invoke
from stigmer_cli.client import Client
from stigmer_cli.domain.phase import Phase
from tests.support.running_server import TOKEN, Served, make_agent, served

NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, NOWHERE) as found, found.client() as client:
        await make_agent(client)
        yield found


async def create(client: Client, message: str, labels: Mapping[str, str]) -> str:
    request = ExecutionRequest(agent="greeter", message=message, labels=dict(labels))
    made = await client.create_execution(request, idempotency_key=message, require_temporal=False)
    return made.metadata.id


async def found(client: Client, query: Query) -> list[str]:
    return [item.metadata.id for item in (await client.list_executions(query, limit=None)).items]


async def test_text_labels_and_times_select_and_are_counted(server: Served) -> None:
    async with server.client() as client:
        ids = [await create(client, f"deploy number{n}", {"n": str(n % 2)}) for n in range(5)]
        oldest = (await client.execution(ids[0])).metadata.created_at
        cases = {
            Query(search="DEPLOY number3"): [ids[3]],
            Query(search="deploy", labels=("n=1",)): [ids[3], ids[1]],
            Query(labels=("n",), phases=(Phase.PENDING,), agent="greeter"): ids[::-1],
            Query(search="deploy", phases=(Phase.COMPLETED,)): [],
            Query(since=oldest, until=oldest + timedelta(milliseconds=1)): [ids[0]],
            Query(until=oldest): [],
        }
        for query, expected in cases.items():
            assert (query, await found(client, query)) == (query, expected)
        page = await client.executions(Query(search="deploy", limit=2, is_counted=True))
        assert ([item.metadata.id for item in page.items], page.total) == ([ids[4], ids[3]], 5)
        rest = await client.executions(Query(search="deploy", cursor=page.next_cursor))
        assert [item.metadata.id for item in rest.items] == ids[2::-1]


REFUSED: Sequence[tuple[Mapping[str, str | list[str]], str]] = (
    ({"search": "?!"}, "search: '?!' has no word to search for"),
    ({"label": "=x"}, "label: '=x' is no label"),
    ({"since": "2026-01-01T00:00:00Z", "until": "2025-01-01T00:00:00Z"}, "nothing lies between since="),
    ({"since": "yesterday"}, "since"),
    ({"until": "2026-01-01T00:00:00"}, "until"),
    ({"label": ["x"] * 17}, "label"),
    ({"search": "a\0b"}, "NUL"),
)


async def test_a_parameter_that_cannot_be_used_is_named(server: Served) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        for query, detail in REFUSED:
            answer = await http.get("/v1/executions", params=query)
            assert (query, answer.status_code) == (query, 400)
            assert detail in answer.json()["detail"]


def stigmer(server: Served, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "STIGMER_HOME": str(server.home), "STIGMER_SERVER_URL": server.url, "STIGMER_TOKEN": TOKEN}
    return subprocess.run(
        [sys.executable, "-m", "stigmer_cli.cli", *arguments],
        env=environ,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_what_is_selected_is_cancelled_and_nothing_else(server: Served) -> None:
    async with server.client() as client:
        ids = [await create(client, f"deploy number{n}", {"n": str(n % 2)}) for n in range(4)]
        refused = stigmer(server, "executions", "cancel", "--label", "n=1")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "cannot ask before cancelling: there is no terminal" in refused.stderr
        planned = stigmer(server, "executions", "cancel", "--search", "number1 OR number3", "--all", "--dry-run")
        assert (planned.returncode, planned.stdout) == (
            0,
            "no open executions match --search 'number1 OR number3' (searched were messages, outputs and errors)\n",
        )
        planned = stigmer(server, "executions", "cancel", "--label", "n=1", "--dry-run", "-o", "json")
        assert json.loads(planned.stdout)["summary"] == {"cancelled": 2, "asked": 0, "ended": 0, "missing": 0}
        assert await found(client, Query(phases=(Phase.PENDING,))) == ids[::-1]
        done = stigmer(server, "executions", "cancel", "--label", "n=1", "--yes", "-o", "json")
        assert json.loads(done.stdout) == {
            "dryRun": False,
            "items": [{"id": id_, "phase": "CANCELLED", "outcome": "cancelled"} for id_ in (ids[3], ids[1])],
            "summary": {"cancelled": 2, "asked": 0, "ended": 0, "missing": 0},
            "complete": True,
        }
        assert await found(client, Query(phases=(Phase.PENDING,))) == [ids[2], ids[0]]
        named = stigmer(server, "executions", "cancel", ids[3], ids[2])
        assert (named.returncode, named.stdout) == (0, "1 cancelled, 1 had ended before\n")
        missing = ids[0][:-2] + "zz"
        outcomes = [one.outcome for one in await client.cancel_executions([missing, ids[0], ids[0]])]
        assert outcomes == ["missing", "cancelled"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["cancel"],
        ["cancel", "@last", "--all"],
        ["cancel", "@last", "--agent", "a"],
        ["cancel", "--phase", "FAILED", "-y"],
    ],
)
def test_a_cancel_that_says_too_little_or_too_much_is_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STIGMER_SERVER_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("STIGMER_TOKEN", TOKEN)
    assert invoke(["executions", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")


FILE = """\
apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: {name: Writer, labels: {team: "yes"}}
spec: {instructions: "Write.\\nBriefly.\\n"}
"""


async def test_what_a_server_has_is_a_file_that_changes_nothing_and_a_diff_tells_what_would(server: Served) -> None:
    assert stigmer(server, "apply", "-f", "-", given=FILE).stdout == "agent/writer created\n"
    written = stigmer(server, "agents", "list", "-o", "yaml").stdout
    assert stigmer(server, "agents", "get", "writer", "-o", "yaml").stdout in written
    same = stigmer(server, "diff", "-f", "-", given=written)
    assert (same.returncode, same.stdout, same.stderr) == (0, "", "")
    changed = written.replace("    Briefly.\n", "").replace("name: greeter", "name: second")
    differs = stigmer(server, "diff", "-f", "-", given=changed)
    assert differs.returncode == 1
    assert differs.stdout.startswith("--- /dev/null\n+++ agent/second (file)\n@@ -0,0 +1")
    assert differs.stdout.endswith("   instructions: |\n     Write.\n-    Briefly.\n   model: echo\n")
    tried = stigmer(server, "apply", "--dry-run", "-f", "-", given=changed)
    assert (tried.returncode, tried.stdout) == (
        0, "agent/second created (dry run)\nagent/writer updated (dry run)\n"
    )  # fmt: skip
    assert stigmer(server, "agents", "list", "-o", "yaml").stdout == written
    assert stigmer(server, "apply", "-f", "-", given=written).stdout == (
        "agent/greeter unchanged\nagent/writer unchanged\n"
    )
    async with server.client() as client:
        name = await create(client, "hello", {})
        listed = json.loads(stigmer(server, "agents", "list", "-o", "json").stdout)["items"]
        assert [item["status"]["executions"] for item in listed] == [1, 0]
        assert listed[0]["status"]["lastRun"]["id"] == name
        assert "lastRun" not in listed[1]["status"]
