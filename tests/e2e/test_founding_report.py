"""The bug Stigmer was founded on, with the installed command: Temporal comes late, goes, forgets, and stays away."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.installed import Stigmer, collect, installed
from tests.support.polling import wait_until
from tests.support.temporal_server import DevServer


@contextmanager
def _stack(tmp_path: Path, temporal: DevServer, settings: dict[str, str] | None = None) -> Iterator[Stigmer]:
    """Server and runner of their own, and a Temporal that the test owns: `up` cannot prove readiness without it."""
    with installed(tmp_path / "home", {"STIGMER_TEMPORAL_ADDRESS": temporal.address, **(settings or {})}) as stigmer:
        processes = [stigmer.spawn(command) for command in ("serve", "work")]
        try:
            wait_until(lambda: stigmer("agents", "list").returncode == 0, within_s=20)
            stigmer.apply_agent()
            yield stigmer
        finally:
            for process in processes:
                collect(process)


def _detached(stigmer: Stigmer, message: str) -> str:
    return stigmer.ok("run", "greeter", message, "--detach").strip()


def _phase(stigmer: Stigmer, name: str) -> str:
    return str(stigmer.json("executions", "get", name)["status"]["phase"])


def _completes(stigmer: Stigmer, name: str) -> None:
    done = stigmer("executions", "watch", name, "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert _phase(stigmer, name) == "COMPLETED"


@pytest.mark.slow
def test_temporal_starts_ten_seconds_after_the_server(tmp_path: Path) -> None:
    with DevServer(tmp_path) as temporal, _stack(tmp_path, temporal) as stigmer:
        begun = time.monotonic()
        waiting = _detached(stigmer, "early")
        timed_out = stigmer("run", "greeter", "impatient", "--timeout", "4")
        assert timed_out.returncode == 124
        assert "still PENDING after 4s: Temporal unreachable at" in timed_out.stderr
        assert "(connection refused)" in timed_out.stderr
        dispatch = stigmer.json("executions", "get", waiting)["status"]["dispatch"]
        assert dispatch["reason"] == "temporal-unreachable"
        wait_until(lambda: time.monotonic() - begun > 10, within_s=20)
        temporal.start()
        _completes(stigmer, waiting)
        assert "COMPLETED" in stigmer("run", "greeter", "later", "--timeout", "60").stderr


@pytest.mark.parametrize(
    "is_emptied", [pytest.param(False, marks=pytest.mark.slow, id="with its file"), pytest.param(True, id="emptied")]
)
def test_temporal_restarts_in_the_middle(tmp_path: Path, *, is_emptied: bool) -> None:
    with DevServer(tmp_path, file=tmp_path / "temporal.db") as temporal:
        temporal.start()
        with _stack(tmp_path, temporal) as stigmer:
            before = [_detached(stigmer, f"before {number}") for number in range(2)]
            temporal.kill()
            during = [_detached(stigmer, f"during {number}") for number in range(2)]
            if is_emptied:
                temporal.forget()
            temporal.start()
            after = [_detached(stigmer, f"after {number}") for number in range(2)]
            for name in (*during, *after):
                _completes(stigmer, name)
            for name in before:
                _ends_or_is_shown(stigmer, name)


def _ends_or_is_shown(stigmer: Stigmer, name: str) -> None:
    """A run that was under way when Temporal forgot it ends, or says that a person has to look; never just PENDING."""

    def settled() -> bool:
        status = stigmer.json("executions", "get", name)["status"]
        return status["phase"] == "COMPLETED" or status["attention"] is not None

    wait_until(settled, within_s=60)


def test_the_server_restarts_while_temporal_is_down(tmp_path: Path) -> None:
    with DevServer(tmp_path) as temporal, _stack(tmp_path, temporal) as stigmer:
        name = _detached(stigmer, "kept")
        [server] = [process for process in stigmer.processes() if "serve" in process.cmdline()]
        server.kill()
        server.wait(timeout=10)
        again = stigmer.spawn("serve")
        try:
            wait_until(lambda: stigmer("executions", "get", name).returncode == 0, within_s=20)
            assert _phase(stigmer, name) == "PENDING"
            temporal.start()
            _completes(stigmer, name)
        finally:
            collect(again)


def test_fail_fast_leaves_no_row_while_temporal_is_away(tmp_path: Path) -> None:
    with DevServer(tmp_path) as temporal, _stack(tmp_path, temporal, {"STIGMER_SUBMIT_POLICY": "fail-fast"}) as stigmer:
        done = stigmer("run", "greeter", "now or never", "-o", "json")
        assert done.returncode == 4
        assert json.loads(done.stdout)["code"] == "temporal-unavailable"
        assert "nothing was written" in done.stderr
        assert stigmer.json("executions", "list")["items"] == []
        temporal.start()
        wait_until(lambda: stigmer("run", "greeter", "now", "--timeout", "60").returncode == 0, within_s=30)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("policy", ["queue", "fail-fast"])
def test_temporal_stays_away_for_two_minutes(tmp_path: Path, policy: str) -> None:
    with DevServer(tmp_path) as temporal, _stack(tmp_path, temporal, {"STIGMER_SUBMIT_POLICY": policy}) as stigmer:
        begun = time.monotonic()
        codes = [stigmer("run", "greeter", f"{number}", "--detach").returncode for number in range(5)]
        assert set(codes) == {0 if policy == "queue" else 4}
        wait_until(lambda: time.monotonic() - begun > 120, within_s=150)
        temporal.start()
        wait_until(lambda: stigmer("run", "greeter", "after", "--timeout", "60").returncode == 0, within_s=30)
        items = stigmer.json("executions", "list")["items"]
        assert [item["status"]["phase"] for item in items] == ["COMPLETED"] * (6 if policy == "queue" else 1)
