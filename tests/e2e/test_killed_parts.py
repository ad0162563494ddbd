"""`stigmer run` goes on while each process of the stack is killed in turn; nothing is lost, nothing runs twice."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until

LEDGER_SERVER = Path(__file__).parents[1] / "support" / "ledger_server.py"
WORDS = " ".join(f"word{number}" for number in range(30))


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    """A stack that is up, with an agent that takes its time."""
    with installed(tmp_path_factory.mktemp("killed") / "home") as one:
        one.ok("up")
        one.apply_agent("slow", model="echo:slow")
        yield one


@pytest.mark.parametrize(
    "part", ["runner", *(pytest.param(part, marks=pytest.mark.slow) for part in ("temporal", "server", "supervisor"))]
)
def test_a_run_survives_the_death_of_any_part(stigmer: Stigmer, part: str) -> None:
    before = stigmer.pids()
    run = stigmer.spawn("run", "slow", WORDS, "-o", "stream-json", "--timeout", "90")
    assert run.stdout is not None
    for line in run.stdout:
        if json.loads(line).get("event", {}).get("type") == "message":
            break  # it is under way
    stigmer.kill(part)
    if part == "supervisor":
        stigmer.ok("up")
    rest, talk = run.communicate(timeout=100)
    assert run.returncode == 0, talk
    resource = json.loads(rest.splitlines()[-1])["execution"]
    assert resource["status"]["phase"] == "COMPLETED"
    assert resource["status"]["epoch"] == 1
    assert resource["status"]["output"].endswith(WORDS)
    assert len(resource["status"]["messages"]) == 1, "a second attempt starts its messages over"
    assert stigmer.pids()[part] != before[part]
    assert stigmer("status").returncode in (0, 1)


def apply_ledger_agent(stigmer: Stigmer, folder: Path, name: str, *turns: dict[str, Any]) -> Path:
    """An agent that plays `turns` with the tools of a ledger; returns the ledger's file."""
    ledger = folder / f"{name}.ledger"
    (folder / f"{name}-script.yaml").write_text(yaml.safe_dump(list(turns)))
    spec = {
        "model": f"script:{name}-script.yaml",
        "tools": [{"mcp": {"command": [sys.executable, str(LEDGER_SERVER), str(ledger)]}}],
    }
    manifest = {"apiVersion": "agentic.stigmer.ai/v1", "kind": "Agent", "metadata": {"name": name}, "spec": spec}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(manifest))
    stigmer.ok("apply", "-f", str(folder / f"{name}.yaml"))
    return ledger


def read_ledger(ledger: Path) -> list[tuple[str, object]]:
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [(line["tool"], line["what"]) for line in map(json.loads, lines)]


def call(tool: str, **arguments: object) -> dict[str, Any]:
    return {"calls": [{"tool": tool, "arguments": arguments}]}


def test_a_killed_runner_repeats_no_call_that_may_have_taken_effect(stigmer: Stigmer, tmp_path: Path) -> None:
    between = apply_ledger_agent(
        stigmer, tmp_path, "between", call("send", text="1"), {**call("send", text="2"), "delay": 4}, {"text": "Done."}
    )
    amid = apply_ledger_agent(
        stigmer, tmp_path, "amid", call("send", text="1"), call("send_slowly", text="2", seconds=60), {"text": "Done."}
    )
    run = stigmer.spawn("run", "between", "go", "-o", "json", "--timeout", "90")
    stuck = stigmer.json("run", "amid", "go", "--detach")["metadata"]["id"]
    wait_until(lambda: len(read_ledger(amid)) == 2 and len(read_ledger(between)) == 1, within_s=60)
    stigmer.kill("runner")
    rest, talk = run.communicate(timeout=100)
    assert run.returncode == 0, talk
    assert json.loads(rest)["status"]["output"] == "Done."
    assert read_ledger(between) == [("send", "1"), ("send", "2")]

    def attention() -> dict[str, Any] | None:
        found: dict[str, Any] | None = stigmer.json("executions", "get", stuck)["status"]["attention"]
        return found

    wait_until(lambda: attention() is not None, within_s=60)
    marked = attention()
    assert marked is not None
    assert "/turns/1/calls/0 (tool send_slowly)" in marked["reason"]
    assert read_ledger(amid) == [("send", "1"), ("send_slowly", "2")]
    stigmer.ok("executions", "cancel", stuck, "--yes")


def test_up_brings_back_one_dead_part_and_leaves_the_others_alone(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    before = stigmer.pids()
    stigmer.ok("up")
    assert stigmer.pids() == before, "a healthy stack is not touched"
    stigmer.kill("server")
    stigmer.ok("up")
    after = stigmer.pids()
    assert {name for name in before if before[name] != after[name]} == {"server"}


def test_down_leaves_no_process_and_every_execution(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    stigmer.ok("run", "slow", "kept", "--timeout", "60")
    kept = stigmer.json("executions", "list", "--limit", "1")["items"]
    stigmer.ok("down")
    assert stigmer.processes() == []
    assert stigmer("status").returncode == 3
    assert stigmer("down").returncode == 0, "down is idempotent"
    assert stigmer("run", "slow", "hi").returncode == 3
    stigmer.ok("up")
    assert stigmer.json("executions", "list", "--limit", "1")["items"] == kept
