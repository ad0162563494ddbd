"""`stigmer executions reconcile`: orphans made by a Temporal that forgot, brought back by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installed import Stigmer, collect, installed
from tests.support.polling import wait_until
from tests.support.temporal_server import DevServer

WAIT = "--wait=30"
"""For every reconcile that is not about absence: a probe that took a second is one, too."""


@pytest.fixture
def temporal(tmp_path: Path) -> Iterator[DevServer]:
    """In memory: it forgets everything when it is killed."""
    with DevServer(tmp_path) as server:
        yield server.start()


@pytest.fixture
def stigmer(tmp_path: Path, temporal: DevServer) -> Iterator[Stigmer]:
    """A server that reconciles only when told to, and no runner."""
    settings = {"STIGMER_TEMPORAL_ADDRESS": temporal.address, "STIGMER_RECONCILE": "manual"}
    with installed(tmp_path / "home", settings) as one:
        server = one.spawn("serve")
        try:
            wait_until(lambda: one("agents", "list").returncode == 0, within_s=20)
            one.apply_agent()
            wait_until(lambda: _is_connected(one), within_s=20)
            yield one
        finally:
            collect(server)


def _is_connected(stigmer: Stigmer) -> bool:
    return stigmer("executions", "reconcile", "--dry-run").returncode == 0


def _orphans(stigmer: Stigmer, temporal: DevServer, number: int) -> list[str]:
    names = [stigmer.ok("run", "greeter", f"orphan {n}", "--detach").strip() for n in range(number)]
    temporal.kill()
    temporal.start()
    wait_until(lambda: _is_connected(stigmer), within_s=20)
    wait_until(lambda: _found(stigmer) == ["orphan"] * number, within_s=20)  # they are fresh for a grace of 5 s
    return names


def _found(stigmer: Stigmer) -> list[str]:
    return [item["found"] for item in stigmer.json("executions", "reconcile", "--dry-run", WAIT)["items"]]


def _worker_completes(stigmer: Stigmer, names: list[str]) -> None:
    runner = stigmer.spawn("work")
    try:
        for name in names:
            done = stigmer("executions", "watch", name, "--timeout", "60")
            assert done.returncode == 0, done.stderr
            types = [event["type"] for event in _events(stigmer, name)]
            assert (types.count("claimed"), types.count("completed")) == (1, 1)
    finally:
        collect(runner)


def _events(stigmer: Stigmer, name: str) -> list[dict[str, str]]:
    done = stigmer("executions", "watch", name, "-o", "stream-json")
    return [line["event"] for line in map(json.loads, done.stdout.splitlines()) if "event" in line]


def test_orphans_are_previewed_and_brought_back_once(stigmer: Stigmer, temporal: DevServer) -> None:
    names = _orphans(stigmer, temporal, 3)
    stuck = stigmer.json("executions", "list", "--stuck")["items"]
    assert [(item["metadata"]["id"], item["stuck"]["class"]) for item in stuck] == [
        (name, "orphan") for name in reversed(names)
    ]
    preview = stigmer.json("executions", "reconcile", "--dry-run", WAIT)
    assert preview["dryRun"] is True
    assert [(item["id"], item["found"], item["action"], item["outcome"]) for item in preview["items"]] == [
        (name, "orphan", "resubmit", "planned") for name in names
    ]
    assert preview["summary"] == {
        "examined": 3, "resubmitted": 3, "repaired": 0, "attention": 0, "skipped": 0, "failed": 0
    }  # fmt: skip
    assert stigmer.json("executions", "reconcile", "--dry-run", WAIT) == preview, "a dry run changes nothing"
    one = stigmer.json("executions", "reconcile", names[1], "--yes", WAIT)
    assert [(item["id"], item["outcome"]) for item in one["items"]] == [(names[1], "resubmitted")]
    done = stigmer("executions", "reconcile", "--yes", WAIT)
    assert done.returncode == 0, done.stderr
    assert "2 resubmitted (3 examined)" in done.stdout
    assert stigmer.json("executions", "reconcile", "--yes", WAIT)["items"] == [], "reconciling twice equals once"
    _worker_completes(stigmer, names)


def test_what_was_interrupted_is_resumed_in_the_next_epoch(stigmer: Stigmer, temporal: DevServer) -> None:
    stigmer.apply_agent("slow", model="echo:slow")
    runner = stigmer.spawn("work")
    try:
        name = stigmer.ok("run", "slow", " ".join(["word"] * 300), "--detach").strip()
        wait_until(lambda: _phase(stigmer, name) == "IN_PROGRESS", within_s=30)
    finally:
        runner.kill()
        collect(runner)
    temporal.kill()
    temporal.start()
    wait_until(lambda: _is_connected(stigmer), within_s=20)
    wait_until(lambda: _found(stigmer) == ["interrupted"], within_s=20)
    resumed = stigmer.json("executions", "reconcile", "--yes", WAIT)
    assert [(item["found"], item["action"], item["outcome"]) for item in resumed["items"]] == [
        ("interrupted", "resume", "resubmitted")
    ]
    status = stigmer.json("executions", "get", name)["status"]
    assert (status["epoch"], status["attention"]) == (2, None)
    assert status["dispatch"]["workflowId"].endswith(f"{name}/2")


def _phase(stigmer: Stigmer, name: str) -> str:
    return str(stigmer.json("executions", "get", name)["status"]["phase"])


def test_nothing_is_judged_while_temporal_is_away_and_wait_begins_when_it_is_back(
    stigmer: Stigmer, temporal: DevServer
) -> None:
    name = stigmer.ok("run", "greeter", "orphan", "--detach").strip()
    wait_until(lambda: _stuck_classes(stigmer) == ["waiting for a runner"], within_s=20)
    temporal.kill()
    wait_until(lambda: stigmer("executions", "reconcile", "--dry-run").returncode == 4, within_s=20)
    stigmer.ok("run", "greeter", "queued", "--detach")
    wait_until(lambda: _stuck_classes(stigmer) == ["queued", "waiting for a runner"], within_s=20)
    refused = stigmer("executions", "reconcile", "--yes")
    assert refused.returncode == 4
    assert "nothing was judged, nothing was changed" in refused.stderr
    ran_out = stigmer("executions", "reconcile", "--yes", "--wait=1")
    assert ran_out.returncode == 124
    waiting = stigmer.spawn("executions", "reconcile", "--yes", "--wait", "-o", "json")
    assert waiting.stderr is not None
    assert "waiting: Temporal unreachable" in waiting.stderr.readline()
    temporal.start()
    result, _talk = waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert json.loads(result)["summary"]["examined"] == 2
    assert _phase(stigmer, name) == "PENDING"


def _stuck_classes(stigmer: Stigmer) -> list[str]:
    return [item["stuck"]["class"] for item in stigmer.json("executions", "list", "--stuck")["items"]]


def test_without_a_terminal_it_wants_a_yes(tmp_path: Path) -> None:
    done = Stigmer(tmp_path / "home")("executions", "reconcile")
    assert done.returncode == 2
    assert "--yes" in done.stderr


def test_eight_at_once_run_one_by_one_or_name_the_holder(stigmer: Stigmer, temporal: DevServer) -> None:
    names = _orphans(stigmer, temporal, 2)
    crowd = [stigmer.spawn("executions", "reconcile", "--yes", "-o", "json") for _ in range(8)]
    results = [process.communicate(timeout=60) for process in crowd]
    codes = [process.returncode for process in crowd]
    says = {1: ("has been reconciling since", "at the same moment"), 4: ("nothing was judged, nothing was changed",)}
    for code, (_out, talk) in zip(codes, results, strict=True):
        assert code == 0 or any(words in talk for words in says[code])
    outs = [
        *(out for out, _talk in results if '"summary"' in out),
        stigmer.ok("executions", "reconcile", "--yes", WAIT, "-o", "json"),
    ]
    resubmitted = sum(json.loads(out)["summary"]["resubmitted"] for out in outs)
    assert resubmitted == len(names)


def test_a_wrong_namespace_resubmits_nothing(tmp_path: Path, stigmer: Stigmer) -> None:
    name = stigmer.ok("run", "greeter", "orphan", "--detach").strip()
    wait_until(lambda: bool(stigmer.json("executions", "get", name)["status"]["dispatch"]["runId"]), within_s=20)
    before = stigmer.json("executions", "get", name)["status"]
    other = Stigmer(tmp_path / "home", {**stigmer.settings, "STIGMER_TEMPORAL_NAMESPACE": "missing"})
    for process in stigmer.processes():
        if "serve" in process.cmdline():
            process.terminate()
            process.wait(timeout=10)
    server = other.spawn("serve")
    try:
        wait_until(lambda: other("agents", "list").returncode == 0, within_s=20)
        wait_until(lambda: "namespace" in other("executions", "reconcile", "--yes").stderr, within_s=20)
        done = other("executions", "reconcile", "--yes")
        assert done.returncode == 4
        assert "missing" in done.stderr
        after = other.json("executions", "get", name)["status"]
        assert after["phase"] == "PENDING"
        for name_of in ("submittedAt", "runId"):
            assert after["dispatch"][name_of] == before["dispatch"][name_of], "zero resubmits"
    finally:
        collect(server)
