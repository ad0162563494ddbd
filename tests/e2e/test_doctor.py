"""`stigmer doctor` before faults of a running stack: the verdict names the cause, and it comes in time."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from stigmer_cli.doctor.check import Category
from tests.support.doctor_reports import (
    Report,
    await_page,
    diagnose,
    results_of,
    verdict_of,
    wait_until_healthy,
)
from tests.support.installed import Stigmer, frozen, installed
from tests.support.polling import wait_until

ROUNDS_MAX = 4
LOADED = """
import sys
from stigmer_cli.cli.entry import invoke
from stigmer_cli.lean_imports import skip_command_of_httpx
skip_command_of_httpx()
code = invoke(["doctor"])
print("LOADED", code, *sys.modules)
"""
UNUSED = {
    "attr",
    "fastapi",
    "grpc",
    "httpx",
    "rich.pretty",
    "rich.traceback",
    "sqlalchemy",
    "stigmer_cli.api.resources",
    "stigmer_cli.client",
    "stigmer_cli.doctor.bundle",
    "stigmer_cli.doctor.repairs.repair",
    "stigmer_cli.supervisor.supervisor",
    "tarfile",
}


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    """A stack that is up; each test leaves it healthy."""
    with installed(tmp_path_factory.mktemp("doctor") / "home") as one:
        one.ok("up")
        yield one


def is_fully_judged(found: dict[str, Any]) -> bool:
    """Whether nothing was skipped but what is about servers elsewhere and TLS, which is not there on loopback."""
    skipped = {code for code, result in results_of(found).items() if result == "skip"}
    return skipped == {"STG125", "STG126", "STG215"} and set(results_of(found).values()) <= {"pass", "info", "skip"}


def test_a_healthy_stack_is_healthy_in_every_format(stigmer: Stigmer) -> None:
    wait_until_healthy(stigmer)
    code, found = diagnose(stigmer, "--strict", holds=lambda code, found: code == 0 and is_fully_judged(found))
    assert (code, found["verdict"]["message"]) == (0, "healthy"), found
    assert is_fully_judged(found), found
    passes = [one["category"] for one in found["checks"] if one["result"] == "pass"]
    text = await_page(stigmer, "passed: " + ", ".join(f"{one} {passes.count(one)}" for one in Category))
    assert text.startswith("healthy\n")


def test_a_healthy_stack_is_looked_at_without_what_only_another_one_needs(stigmer: Stigmer) -> None:
    wait_until_healthy(stigmer)
    loaded: set[str] = set()

    def is_healthy() -> bool:
        done = subprocess.run(
            [sys.executable, "-P", "-c", LOADED], env=stigmer.environment, capture_output=True, text=True, check=True
        )
        loaded.clear()
        loaded.update(done.stdout.partition("LOADED")[2].split())
        return "0" in loaded and "not judged" not in done.stdout

    wait_until(is_healthy)
    assert {"temporalio.client", "pydantic"} < loaded
    assert loaded & UNUSED == set()


@pytest.mark.parametrize("part", ["temporal", "server", "runner"])
def test_a_frozen_part_is_the_verdict_and_its_fix_works(stigmer: Stigmer, part: str) -> None:
    codes = {"temporal": "STG105", "server": "STG106", "runner": "STG107"}
    pid = stigmer.pids()[part]
    with frozen(pid):
        code, found = diagnose(stigmer, verdict=codes[part])
    assert code == 1
    assert verdict_of(found) == (
        codes[part],
        f"not healthy: {part} (pid {pid}) is frozen by a signal (SIGSTOP)",
        f"kill -CONT {pid}",
    )
    wait_until_healthy(stigmer)


def test_everything_frozen_is_reported_in_time_and_the_supervisor_first(stigmer: Stigmer) -> None:
    pids = stigmer.pids()
    with frozen(*pids.values()):
        frozen_ones = {"STG104", "STG105", "STG106", "STG107"}
        code, found = diagnose(
            stigmer,
            verdict="STG104",
            holds=lambda _, found: failures_of(found) == frozen_ones and found["tookMs"] < 4000,
        )
    assert (code, found["verdict"]["code"]) == (1, "STG104")
    assert found["tookMs"] < 4000
    assert failures_of(found) == frozen_ones
    wait_until_healthy(stigmer)


def test_temporal_killed_while_nobody_restarts_it(stigmer: Stigmer) -> None:
    pids = stigmer.pids()
    with frozen(pids["supervisor"]):
        os.kill(pids["temporal"], signal.SIGKILL)
        code, found = diagnose(
            stigmer,
            verdict="STG104",
            holds=lambda _, found: (results_of(found)["STG105"], results_of(found)["STG207"]) == ("fail", "skip"),
        )
    assert code == 1
    assert verdict_of(found) == (
        "STG104",
        f"not healthy: the supervisor (pid {pids['supervisor']}) is frozen by a signal (SIGSTOP)",
        f"kill -CONT {pids['supervisor']}",
    )
    assert results_of(found)["STG105"] == "fail"
    assert {results_of(found)[code] for code in ("STG201", "STG202", "STG203", "STG207")} == {"skip"}
    assert next(one["because"] for one in found["checks"] if one["code"] == "STG203") == "STG105"
    wait_until_healthy(stigmer)


def test_a_killed_part_is_reported_though_it_runs_again(stigmer: Stigmer) -> None:
    stigmer.kill("server")
    wait_until_healthy(stigmer)
    code, found = diagnose(stigmer, holds=lambda code, found: (code, results_of(found)["STG106"]) == (0, "warn"))
    assert (code, results_of(found)["STG106"]) == (0, "warn")
    wait_until(lambda: stigmer("doctor", "--strict", "--only", "STG106").returncode == 1)


def test_a_port_that_somebody_took_comes_before_what_cannot_start_without_it(stigmer: Stigmer) -> None:
    pids = stigmer.pids()
    port = int(stigmer.environment["STIGMER_TEMPORAL_PORT"])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with frozen(pids["supervisor"]):
            os.kill(pids["temporal"], signal.SIGKILL)
            wait_until(lambda: try_listen(other, port))
        wait_until(lambda: count_restarts(stigmer, "temporal") >= 2)
        code, found = diagnose(stigmer, verdict="STG103")
        text = await_page(stigmer, "(STG103)\n")
    assert (code, found["verdict"]["code"]) == (1, "STG103")
    assert f"port {port} for temporal is held by pid {os.getpid()}" in found["verdict"]["message"]
    assert text.splitlines()[0].endswith("(STG103)")
    wait_until(lambda: stigmer("up").returncode == 0)
    wait_until_healthy(stigmer)


def run_against_frozen_temporal(stigmer: Stigmer) -> tuple[str, int, Report]:
    """The id of an execution that waits for a Temporal that is frozen, and what doctor says meanwhile."""
    with frozen(stigmer.pids()["temporal"]):
        name = stigmer.ok("run", "greeter", "hello", "--detach").strip()
        time.sleep(5.5)  # what is younger than five seconds is on its way
        code, found = diagnose(stigmer, verdict="STG105", holds=lambda _, found: queued_of(found) == ("warn", [name]))
    return name, code, found


def test_without_temporal_the_server_goes_on_and_what_waits_is_counted(stigmer: Stigmer) -> None:
    stigmer.apply_agent()
    name, code, found = run_against_frozen_temporal(stigmer)
    for _ in range(ROUNDS_MAX):  # after 15 s of silence the supervisor replaces it: on a busy machine that is short
        if queued_of(found) == ("warn", [name]):
            break
        wait_until_healthy(stigmer)
        name, code, found = run_against_frozen_temporal(stigmer)
    assert (code, found["verdict"]["code"]) == (1, "STG105")
    assert queued_of(found) == ("warn", [name])
    wait_until_healthy(stigmer)
    assert stigmer("executions", "watch", name, "--timeout", "60").returncode == 0


def failures_of(found: Report) -> set[str]:
    """The codes of the checks that failed."""
    return {code for code, result in results_of(found).items() if result == "fail"}


def queued_of(found: Report) -> tuple[str, list[str]]:
    """What is said of the executions that wait for Temporal, and their ids."""
    check = next(one for one in found["checks"] if one["code"] == "STG401")
    return check["result"], (check["evidence"] or {}).get("ids", [])


def try_listen(other: socket.socket, port: int) -> bool:
    """Whether `other` listens on `port` now; its owner may not have ended yet."""
    try:
        other.bind(("127.0.0.1", port))
    except OSError:
        return False
    other.listen()
    return True


def count_restarts(stigmer: Stigmer, part: str) -> int:
    parts = stigmer.json("status")["parts"]
    return int(next(one["restarts"] for one in parts if one["name"] == part))


def test_the_path_test_reaches_every_hop_and_removes_its_agent(stigmer: Stigmer) -> None:
    found = stigmer.json("doctor", "--test")
    assert found["ok"], found
    assert [one["state"] for one in found["hops"]] == ["reached"] * 6
    assert sum(one["tookMs"] for one in found["hops"]) == pytest.approx(found["tookMs"], abs=5)
    execution = stigmer.json("executions", "get", found["execution"])
    assert execution["metadata"]["labels"] == {"stigmer.ai/test": "path"}
    assert stigmer("agents", "get", "stigmer-test").returncode == 5


@pytest.mark.slow
def test_the_path_test_names_the_hop_where_it_stops_and_the_cause(stigmer: Stigmer) -> None:
    pid = stigmer.pids()["runner"]
    with frozen(pid):
        done = stigmer("doctor", "--test", "--wait=4", "-o", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (124, False)
    assert [one["state"] for one in found["hops"]][2:4] == ["stopped", "not-reached"]
    assert found["cause"]["code"] == "STG107"
    assert found["verdict"]["hint"] == f"kill -CONT {pid}"
    assert stigmer.json("executions", "get", found["execution"])["status"]["phase"] == "CANCELLED"
