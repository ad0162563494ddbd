"""Workflows whose runner is killed and whose Temporal forgets everything: each goes on where it was, nothing twice."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.installed import Stigmer, frozen, installed
from tests.support.polling import wait_until

TOKEN = "token-of-a-test"
WAIT_S = 25
"""Longer than all of them take to come to their waits."""

TEXTS = {
    "between": "[{a: {run: {shell: {command: WRITE}}}}, {w: {wait: PT4S}}, {b: {run: {shell: {command: WRITE}}}}]",
    "amid": "[{a: {run: {shell: {command: WRITE-AND-SLEEP}}}}]",
    "waiting": "[{a: {run: {shell: {command: WRITE}}}}, {w: {wait: LONG}}, {b: {run: {shell: {command: WRITE}}}}]",
    "forked": "[{f: {fork: {branches: [{a: {do: [{b: {run: {shell: {command: WRITE}}}}, {c: {wait: LONG}}]}},"
    " {d: {do: [{e: {wait: LONG}}, {g: {run: {shell: {command: WRITE}}}}]}}]}}}]",
    "retried": "[{t: {try: [{a: {run: {shell: {command: WRITE-AND-FAIL}}}}],"
    " catch: {retry: {delay: LONG, limit: {attempt: {count: 1}}}, do: [{b: {set: {gone: true}}}]}}}]",
    "cancelled": "[{w: {wait: P30D}}]",
}
WRITTEN = {"between": 2, "amid": 1, "waiting": 2, "forked": 2, "retried": 2, "cancelled": 0}


class Stack:
    """An installed stack, and its API."""

    def __init__(self, stigmer: Stigmer, folder: Path) -> None:
        self.stigmer = stigmer
        self.folder = folder
        port = stigmer.environment["STIGMER_SERVER_PORT"]
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
        )

    def start(self, name: str) -> str:
        """Apply the workflow of that name, and run it; its execution's id."""
        write = f"echo line >> {self.folder / name}.ledger"
        text = TEXTS[name].replace("LONG", f"PT{WAIT_S}S").replace("WRITE-AND-SLEEP", f"'{write}; sleep 100'")
        text = text.replace("WRITE-AND-FAIL", f"'{write}; exit 3'").replace("WRITE", f"'{write}'")
        about = {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"}
        document = {"document": about, "do": yaml.safe_load(text)}
        self.post("/v1/workflows:apply", {"items": [{"spec": document}]})
        return str(self.post("/v1/executions", {"workflow": name, "input": {}})["metadata"]["id"])

    def post(self, path: str, body: object) -> Any:
        answer = self.api.post(path, json=body)
        deadline = time.monotonic() + 60
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < deadline:
            time.sleep(0.5)  # a busy server has written nothing
            answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def status(self, execution: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/executions/{execution}").raise_for_status().json()["status"]
        return found

    def written(self, name: str) -> int:
        """How many lines there are in the ledger of that workflow."""
        ledger = self.folder / f"{name}.ledger"
        return len(ledger.read_text().splitlines()) if ledger.exists() else 0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with installed(tmp_path / "home", {"STIGMER_TOKEN": TOKEN}) as stigmer:
        stigmer.ok("up")
        made = Stack(stigmer, tmp_path)
        with made.api:
            yield made


def is_waiting(stack: Stack, execution: str) -> Callable[[], bool]:
    return lambda: bool((stack.status(execution).get("waiting") or {}).get("for") == "time")


@pytest.mark.slow
def test_each_goes_on_where_it_was_and_writes_nothing_twice(stack: Stack) -> None:
    names = {name: stack.start(name) for name in TEXTS if name != "between"}
    for name in ("waiting", "forked", "retried", "cancelled"):
        wait_until(is_waiting(stack, names[name]), within_s=60)
    names["between"] = stack.start("between")
    wait_until(lambda: stack.written("amid") == 1 and stack.written("between") == 1, within_s=60)
    pids = stack.stigmer.pids()
    with frozen(pids["supervisor"]):
        os.kill(pids["runner"], signal.SIGKILL)
        os.kill(pids["temporal"], signal.SIGKILL)
        for file in (stack.stigmer.home / "data").glob("temporal.db*"):
            file.unlink()

    def has_ended(name: str) -> Callable[[], bool]:
        return lambda: stack.status(names[name])["phase"] == "COMPLETED"

    for name in ("between", "waiting", "forked", "retried"):
        wait_until(has_ended(name), within_s=90)
    wait_until(lambda: stack.status(names["amid"]).get("attention") is not None, within_s=60)
    marked = stack.status(names["amid"])["attention"]
    assert marked["code"] == "lost", "Temporal knows nothing of it, and a step is in the air"
    assert "/do/0/a" in marked["reason"]
    stack.stigmer.ok("executions", "cancel", names["cancelled"], "--yes")
    cancelled = stack.status(names["cancelled"])
    assert (cancelled["phase"], [task["phase"] for task in cancelled["tasks"]]) == ("CANCELLED", ["cancelled"])
    assert {name: stack.written(name) for name in WRITTEN} == WRITTEN
    assert stack.status(names["retried"])["output"] == {"gone": True}
    tasks = {task["path"]: task["phase"] for task in stack.status(names["forked"])["tasks"]}
    assert set(tasks.values()) == {"completed"}, json.dumps(tasks)
