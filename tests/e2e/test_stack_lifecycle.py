"""The local stack as a person meets it: up, status, logs, restart, down, and everything that goes wrong between.

What is slow here is tried on parts that are stand-ins in `tests/integration/stack`, in every run.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from stigmer_cli.supervisor.process import start_mark
from tests.support.installed import Stigmer, installed
from tests.support.machine_load import slack
from tests.support.polling import wait_until
from tests.support.temporal_server import free_port

PARTS = ["supervisor", "temporal", "server", "runner"]


@pytest.fixture
def stigmer(tmp_path: Path) -> Iterator[Stigmer]:
    with installed(tmp_path / "home") as found:
        yield found


def listening(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def stays_ready(stigmer: Stigmer) -> dict[str, Any]:
    """What `up` proved is so. A probe that is missed on a machine without a moment shows, rightly, and passes."""
    seen: list[dict[str, Any]] = []

    def is_ready() -> bool:
        seen.append(stigmer.json("status"))
        return bool(seen[-1]["state"] == "ready")

    wait_until(is_ready, within_s=15)
    return seen[-1]


def test_up_status_logs_and_down_on_a_machine_that_had_nothing(stigmer: Stigmer) -> None:
    assert stigmer("status").returncode == 3
    assert stigmer("down").returncode == 0

    ready = stigmer.json("up")
    assert ready["state"] == "ready"
    assert ready["started"] == ["temporal", "server", "runner"]
    status = stays_ready(stigmer)
    parts = status["parts"]
    assert isinstance(parts, list)
    assert [part["name"] for part in parts] == PARTS
    assert all(part["state"] == "running" and part["pid"] and part["restarts"] == 0 for part in parts)
    assert status["serverUrl"] == f"http://127.0.0.1:{stigmer.environment['STIGMER_SERVER_PORT']}"

    before = stigmer.pids()
    again = stigmer("up")
    assert "already running; nothing was changed" in again.stdout
    assert stigmer.pids() == before

    stopped = stigmer.json("down")["stopped"]
    assert isinstance(stopped, list)
    assert {part["name"] for part in stopped} == set(PARTS)
    assert stigmer.processes() == []
    for name in ("STIGMER_SERVER_PORT", "STIGMER_TEMPORAL_PORT", "STIGMER_UI_PORT"):
        assert not listening(stigmer.environment[name])

    lines = [json.loads(line) for line in stigmer.ok("logs", "server", "-o", "json").splitlines()]
    assert "server_started" in {line["event"]["event"] for line in lines if line["event"]}
    assert {line["part"] for line in lines} == {"server"}


@pytest.mark.slow
def test_up_works_after_kill_9_of_each_process(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    for part in [*PARTS[1:], "supervisor"]:
        before = stigmer.pids()
        stigmer.kill(part)

        stigmer.ok("up")

        after = stigmer.pids()
        assert sorted(after) == sorted(PARTS)
        changed = [name for name in PARTS if after[name] != before[name]]
        assert changed == (PARTS if part == "supervisor" else [part])
        stays_ready(stigmer)


@pytest.mark.slow
def test_of_eight_ups_at_once_one_starts_and_all_succeed(stigmer: Stigmer) -> None:
    running = [stigmer.spawn("up", "-o", "json") for _ in range(8)]
    answers = [(process.communicate(timeout=90), process.returncode) for process in running]

    assert [code for _, code in answers] == [0] * 8, answers
    found = [json.loads(out) for (out, _), _ in answers]
    assert sorted(len(one["started"]) for one in found) == [0] * 7 + [3]
    assert len({one["serverUrl"] for one in found}) == 1
    supervisors = [one for one in stigmer.processes() if "stigmer_cli.supervisor" in one.cmdline()]
    assert len(supervisors) == 1


@pytest.mark.parametrize("presses", [1, 3])
@pytest.mark.parametrize("marker", ["at once", "launch", "server:", "runner:"])
def test_ctrl_c_during_up_leaves_nothing_and_exits_with_130(stigmer: Stigmer, marker: str, presses: int) -> None:
    process = stigmer.spawn("up")
    assert process.stderr is not None
    if marker == "at once":
        _until_home_is_there(stigmer)
    elif marker == "launch":
        _until_supervisor_is_there(stigmer)
    else:
        for line in process.stderr:
            if line.startswith(marker):
                break
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)  # or the kernel makes one of them
    _, talk = process.communicate(timeout=30)

    assert process.returncode == 130, talk
    assert "Traceback" not in talk
    wait_until(
        lambda: stigmer.processes() == [], within_s=5
    )  # Temporal, which was asked for its version, may be ending
    assert stigmer("status").returncode == 3


@pytest.mark.parametrize(("number", "marker"), [(signal.SIGTERM, "launch"), (signal.SIGHUP, "server:")])
def test_up_that_is_ended_from_outside_leaves_nothing(stigmer: Stigmer, number: signal.Signals, marker: str) -> None:
    """As by `timeout`, `docker stop`, a service manager, or a terminal that is closed."""
    process = stigmer.spawn("up")
    assert process.stderr is not None
    if marker == "launch":
        _until_supervisor_is_there(stigmer)
    else:
        for line in process.stderr:
            if line.startswith(marker):
                break
    process.send_signal(number)
    _, talk = process.communicate(timeout=30)

    assert process.returncode == 128 + number, talk
    assert talk.splitlines()[-1] == f"ended by {number.name}"
    wait_until(lambda: stigmer.processes() == [], within_s=5)
    assert stigmer("status").returncode == 3


def _until_supervisor_is_there(stigmer: Stigmer) -> None:
    deadline = time.monotonic() + 20
    found = False
    while not found:
        assert time.monotonic() < deadline
        with suppress(psutil.Error):
            found = any("stigmer_cli.supervisor" in one.cmdline() for one in stigmer.processes())


def _until_home_is_there(stigmer: Stigmer) -> None:
    deadline = time.monotonic() + 10
    while not (stigmer.home / "run").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("presses", [1, 2])
def test_attach_shows_the_logs_and_ctrl_c_stops_the_stack(stigmer: Stigmer, presses: int) -> None:
    process = stigmer.spawn("up", "--attach")
    assert process.stderr is not None
    for line in process.stderr:
        if "Ctrl-C stops the stack" in line:
            break
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)  # or the kernel makes one of them
    _, talk = process.communicate(timeout=30)

    assert process.returncode == 130, talk
    if presses == 1:  # the second one may kill the supervisor before anybody has asked it what there is to stop
        assert "supervisor (pid" in talk
    assert "interrupted" in talk
    assert "Traceback" not in talk
    assert stigmer.processes() == []


def test_all_occupied_ports_are_reported_and_auto_ports_avoids_them(stigmer: Stigmer) -> None:
    wanted = [stigmer.environment["STIGMER_SERVER_PORT"], stigmer.environment["STIGMER_TEMPORAL_PORT"]]
    code = (
        "import socket, sys, time; ends = [socket.create_server(('127.0.0.1', int(p))) for p in sys.argv[1:]]; "
        "print('up', flush=True); time.sleep(600)"
    )
    foreign = subprocess.Popen([sys.executable, "-c", code, *wanted], stdout=subprocess.PIPE)
    try:
        assert foreign.stdout is not None
        foreign.stdout.readline()

        refused = stigmer("up")
        assert refused.returncode == 1
        assert refused.stderr.count(f"is held by pid {foreign.pid}") == 2
        assert "hint: stigmer up --auto-ports, or stigmer up --port N --temporal-port N" in refused.stderr
        assert stigmer.processes() == []

        stigmer.ok("up", "--auto-ports")
        stays_ready(stigmer)
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.communicate()


@pytest.mark.slow
def test_a_port_from_a_flag_is_found_by_every_other_command(stigmer: Stigmer) -> None:
    port = str(free_port())
    del stigmer.environment["STIGMER_SERVER_PORT"]
    stigmer.ok("up", "--port", port)

    assert stigmer.json("status")["serverUrl"] == f"http://127.0.0.1:{port}"
    assert stigmer.json("agents", "list")["items"] == []
    refused = stigmer("up", "--port", "1999")
    assert refused.returncode == 2
    assert f"the stack runs --port {port}" in refused.stderr

    before = stigmer.pids()
    stigmer.ok("restart", "runner")
    after = stigmer.pids()
    assert [name for name in PARTS if after[name] != before[name]] == ["runner"]
    stigmer.ok("restart")
    assert stigmer.json("status")["serverUrl"] == f"http://127.0.0.1:{port}"
    assert not set(stigmer.pids().values()) & set(after.values())


def test_a_missing_temporal_binary_is_one_cause_and_one_fix(stigmer: Stigmer) -> None:
    stigmer.environment["STIGMER_TEMPORAL_BINARY"] = "/no/such/temporal"

    failed = stigmer("up")

    assert failed.returncode == 1
    assert "error: the temporal binary /no/such/temporal is not a file that can be run" in failed.stderr
    assert "hint: unset STIGMER_TEMPORAL_BINARY" in failed.stderr
    assert stigmer.processes() == []


def test_a_temporal_that_crashes_is_named_with_its_exit_and_last_lines(stigmer: Stigmer, tmp_path: Path) -> None:
    wrapper = tmp_path / "temporal"
    wrapper.write_text('#!/bin/sh\n[ "$1" = --version ] && echo temporal 0.0 && exit 0\necho no luck today\nexit 9\n')
    wrapper.chmod(0o755)
    stigmer.environment["STIGMER_TEMPORAL_BINARY"] = str(wrapper)

    failed = stigmer("up")

    assert failed.returncode == 1
    assert "error: temporal does not start: ended by itself with exit code 9" in failed.stderr
    assert "  no luck today" in failed.stderr
    assert "hint: stigmer logs temporal" in failed.stderr
    assert stigmer.processes() == []


def test_up_that_is_not_ready_in_time_says_where_it_stood_and_stops_what_it_started(stigmer: Stigmer) -> None:
    failed = stigmer("up", "--temporal-address", f"127.0.0.1:{free_port()}", "--wait-timeout", "9")

    assert failed.returncode == 124
    assert "error: the stack is not ready in time:" in failed.stderr
    assert "temporal: the server is " in failed.stderr
    assert stigmer.processes() == []


@pytest.mark.slow
def test_down_ends_a_stack_that_is_frozen_to_the_last_process(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    pids = stigmer.pids()
    marks = {pid: start_mark(pid) for pid in pids.values()}
    for pid in pids.values():
        psutil.Process(pid).suspend()
    status = stigmer("status")
    assert status.returncode == 1

    began = time.monotonic()
    stigmer.ok("down")

    assert time.monotonic() - began < 10.0 * slack()
    assert not [pid for pid, mark in marks.items() if start_mark(pid) == mark]


def test_purge_asks_first_and_without_a_terminal_wants_yes(stigmer: Stigmer) -> None:
    stigmer.ok("up", "--ephemeral", "--no-ui")

    refused = stigmer("down", "--purge")
    assert refused.returncode == 2
    assert "hint: stigmer down --purge --yes" in refused.stderr
    stays_ready(stigmer)

    stigmer.ok("down", "--purge", "--yes")
    assert [path.name for path in stigmer.home.iterdir()] == ["home.json"]
    assert stigmer.processes() == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root makes a pid namespace everywhere")
def test_a_stack_is_as_well_when_it_is_looked_at_from_another_pid_namespace(stigmer: Stigmer) -> None:
    """As from a sandbox, or a container that shares the home and the network."""
    stigmer.ok("up")
    stigmer.apply_agent()

    def inside(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["unshare", "-pf", "--mount-proc", stigmer.command, *arguments],
            env=stigmer.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    status, doctor = inside("status"), inside("doctor")
    assert (status.returncode, status.stdout.splitlines()[0]) == (0, "stack: ready")
    assert (doctor.returncode, doctor.stdout.splitlines()[0]) == (0, "healthy")
    assert "nothing was changed" in inside("up").stdout
    assert inside("restart", "runner").returncode == 0
    assert inside("run", "greeter", "hello").stdout.startswith("Echo (no model was asked): hello")
    assert inside("down").returncode == 0
    assert stigmer.processes() == []


def test_a_home_keeps_its_data_whatever_its_path(tmp_path: Path) -> None:
    """SQLite takes a name for a URI, in which `?`, `#` and `%` mean something else: a database would lie beside it."""
    with installed(tmp_path / "a?b%20c#d é") as stigmer:
        stigmer.ok("up", "--no-ui")
        stigmer.apply_agent()
        assert "hello" in stigmer.ok("run", "greeter", "hello")
        stigmer.ok("restart")
        assert [item["status"]["phase"] for item in stigmer.json("executions", "list")["items"]] == ["COMPLETED"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a?b%20c#d é", "state"]
        stigmer.ok("down")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"no database at all " * 400, id="garbage"),
        pytest.param(b"", marks=pytest.mark.slow, id="empty"),
    ],
)
def test_what_up_prints_of_a_damaged_database_of_temporal_starts_the_stack_and_loses_nothing(
    stigmer: Stigmer, damage: bytes
) -> None:
    stigmer.ok("up", "--no-ui")
    stigmer.apply_agent()
    stigmer.ok("down")
    file = stigmer.home / "data" / "temporal.db"
    for side in ("-wal", "-shm"):
        file.with_name(file.name + side).unlink(missing_ok=True)
    file.write_bytes(damage)
    refused = stigmer.json("up", "--no-ui")
    assert f"its database {file} is damaged" in refused["detail"]
    typed = f"PATH={Path(stigmer.command).parent}:$PATH; {refused['hint']} --no-ui"
    subprocess.run(["/bin/sh", "-c", typed], env=stigmer.environment, check=True, capture_output=True, timeout=60)
    assert "hello" in stigmer.ok("run", "greeter", "hello")
    assert (stigmer.home / "data" / "damaged-temporal" / "temporal.db").is_file()
    stigmer.ok("down")
