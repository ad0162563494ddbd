"""Stores, Temporals, servers and workflows that meet in the wrong pairs: each is refused with its name, or healed."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import postgres
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until


@pytest.fixture
def database() -> Iterator[str]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as cluster, cluster.database() as url:
        yield url


def temporal(stigmer: Stigmer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The Temporal CLI on the Temporal of that stack."""
    binary = Path(stigmer.command).parent / "temporal"
    address = stigmer.json("status")["temporalAddress"]
    return subprocess.run(
        [str(binary), *arguments, "--address", str(address)], capture_output=True, text=True, timeout=30, check=False
    )


def run_detached(stigmer: Stigmer, number: int) -> list[str]:
    return [stigmer.ok("run", "greeter", f"message {n}", "--detach").split()[0] for n in range(number)]


def ended(stigmer: Stigmer, ids: list[str]) -> bool:
    found = {item["metadata"]["id"]: item["status"]["phase"] for item in stigmer.json("executions", "list")["items"]}
    return all(found[id_] == "COMPLETED" for id_ in ids)


def get(stigmer: Stigmer, execution: str) -> dict[str, Any]:
    return stigmer.json("executions", "get", execution)


@pytest.mark.slow
def test_two_homes_on_one_temporal_run_their_own_and_neither_takes_the_others(tmp_path: Path) -> None:
    with installed(tmp_path / "a") as first:
        first.ok("up")
        address = str(first.json("status")["temporalAddress"])
        with installed(tmp_path / "b", {"STIGMER_TEMPORAL_ADDRESS": address}) as second:
            second.ok("up")
            for home in (first, second):
                home.apply_agent()
            ids = {home.home.name: run_detached(home, 4) for home in (first, second)}
            for home in (first, second):
                wait_until(lambda home=home: ended(home, ids[home.home.name]), within_s=30)  # type: ignore[misc]
                assert home("doctor", "--wait=30").returncode == 0
                claimed = {get(home, id_)["status"]["epoch"] for id_ in ids[home.home.name]}
                assert claimed == {1}, "none was handed to the other's runner first"


@pytest.mark.slow
def test_a_second_temporal_on_a_store_is_refused_by_name_until_a_person_moves_it(tmp_path: Path, database: str) -> None:
    settings = {"STIGMER_DATABASE_URL": database}
    with installed(tmp_path / "a", settings) as first, installed(tmp_path / "b", settings) as second:
        first.ok("up")
        first.apply_agent(model="echo:slow")
        [running] = [first.ok("run", "greeter", "word " * 200, "--detach").split()[0]]
        wait_until(lambda: bool(get(first, running)["status"]["phase"] == "IN_PROGRESS"), within_s=20)

        refused = second("up", "--wait-timeout", "60")
        assert refused.returncode == 3, refused.stderr
        assert "uses this store with another Temporal" in refused.stderr
        assert str(first.json("status")["temporalAddress"]) in refused.stderr
        assert "--adopt-temporal" in refused.stderr
        status = get(first, running)["status"]
        assert (status["epoch"], status["attention"]) == (1, None), "nothing of the first one was marked lost"
        assert status["phase"] in ("IN_PROGRESS", "COMPLETED")

        moved = second("up", "--adopt-temporal", "--wait-timeout", "60")
        assert moved.returncode == 0, moved.stderr
        wait_until(lambda: first.json("status")["state"] != "ready", within_s=15)
        told = first("doctor")
        assert told.returncode == 1
        assert "another Temporal" in told.stdout


def test_workflows_that_somebody_else_started_end_failed_once_and_honest_work_goes_on(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        stigmer.ok("up")
        stigmer.apply_agent()
        [honest] = run_detached(stigmer, 1)
        wait_until(lambda: ended(stigmer, [honest]), within_s=20)
        queue = "stigmer-" + get(stigmer, honest)["status"]["dispatch"]["workflowId"].split("/")[1]
        kind = "stigmer/agent-execution/invoke"
        nonsense = {
            "empty": (kind, "{}"),
            "no object": (kind, "[1]"),
            "another's id": (kind, json.dumps({"executionId": honest, "epoch": 1})),
            "an epoch beyond all": (kind, json.dumps({"executionId": honest, "epoch": 10**25})),
            "an unknown type": ("stigmer/whatever", "{}"),
        }
        for name, (type_, value) in nonsense.items():
            started = temporal(stigmer, "workflow", "start", "--type", type_, "-t", queue, "-w", name, "--input", value)
            assert started.returncode == 0, started.stderr
        [pending] = run_detached(stigmer, 1)
        wait_until(lambda: ended(stigmer, [pending]), within_s=20)
        for name in nonsense:
            wait_until(lambda name=name: "FAILED" in shown(stigmer, name).upper(), within_s=15)  # type: ignore[misc]
        assert get(stigmer, honest)["status"]["epoch"] == 1
        assert stigmer("doctor", "--wait=30").returncode == 0


def shown(stigmer: Stigmer, name: str) -> str:
    return temporal(stigmer, "workflow", "describe", "-w", name).stdout


@pytest.mark.slow
def test_a_claim_under_another_workflow_id_performs_nothing(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        stigmer.ok("up")
        stigmer.apply_agent()
        [known] = run_detached(stigmer, 1)
        wait_until(lambda: ended(stigmer, [known]), within_s=20)
        store = get(stigmer, known)["status"]["dispatch"]["workflowId"].split("/")[1]
        stigmer.kill("server")  # what is accepted from now on waits for it
        wait_until(lambda: stigmer.json("status")["state"] == "ready", within_s=30)
        order = json.dumps({"executionId": known, "epoch": 1, "storeId": store})
        kind = "stigmer/agent-execution/invoke"
        started = temporal(
            stigmer, "workflow", "start", "--type", kind, "-t", f"stigmer-{store}", "-w", "thief", "--input", order
        )
        assert started.returncode == 0, started.stderr
        wait_until(lambda: "FAILED" in shown(stigmer, "thief").upper(), within_s=15)
        assert "knows no such execution under this workflow" in shown(stigmer, "thief")
