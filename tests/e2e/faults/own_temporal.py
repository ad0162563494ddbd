"""Faults in a stack with a Temporal of its own; after each the stack is whole again, by doctor's fix or by ours."""

import asyncio
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

import psutil
import pytest

from stigmer_cli.client import Client
from stigmer_cli.temporal.dev_server import find_binary
from tests.e2e.faults.filters import detach
from tests.e2e.faults.harness import ROOM, Harness, end, resize
from tests.support.polling import wait_until
from tests.support.running_server import accept
from tests.support.temporal_server import free_port

PARALLEL, ROUNDS = 8, 5
LONG = " ".join(["word"] * 300)
"""What the agent `slow` is busy with for a minute."""

FAILED_FOR_GOOD = 5
RESUMED_IN_S = 80.0
BLOCK = 4096


# -- what leaves the stack as it was


@contextmanager
def oversized(harness: Harness) -> Iterator[None]:
    """An argument of three megabytes; a neighbour of the same moment runs."""
    token = (harness.home / "token").read_text().strip()
    request = urllib.request.Request(
        f"{_server(harness)}/v1/executions",
        data=json.dumps({"agent": "greeter", "message": "x" * 3_000_000}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    refused.value.close()
    harness.stigmer.ok("run", "greeter", "hello", "--timeout", "30")
    yield


@contextmanager
def second_server(harness: Harness) -> Iterator[None]:
    """Another server on the same store: it names the first and ends, which the first does not feel."""
    settings = {**harness.stigmer.environment, "STIGMER_SERVER_PORT": str(free_port())}
    second = subprocess.run(
        [harness.stigmer.command, "serve"], env=settings, capture_output=True, text=True, timeout=30, check=False
    )
    assert second.returncode == 3
    assert f"pid {harness.stigmer.pids()['server']} ({_server(harness)})" in second.stderr
    yield


# -- Temporal dies, freezes, forgets


@contextmanager
def killed(harness: Harness) -> Iterator[None]:
    """SIGKILL while idle."""
    _kill_temporal(harness)
    yield


@contextmanager
def killed_while_starting(harness: Harness) -> Iterator[None]:
    """SIGKILL in the middle of eight submits at a time; each that was accepted completes."""
    token = (harness.home / "token").read_text().strip()

    async def all_accepted() -> list[str]:
        names: list[str] = []
        async with Client(_server(harness), lambda: token) as client:

            async def one(number: int) -> None:
                for turn in range(ROUNDS):
                    accepted = await accept(client, f"t2-{os.getpid()}-{number}-{turn}")
                    names.append(accepted.metadata.id)

            async with asyncio.TaskGroup() as group:
                for number in range(PARALLEL):
                    group.create_task(one(number))
                await asyncio.sleep(0.1)
                end(pid)
        return names

    pid = harness.stigmer.pids()["temporal"]
    names = set(asyncio.run(all_accepted()))
    assert len(names) == PARALLEL * ROUNDS

    def done() -> set[str]:
        items = harness.stigmer.json("executions", "list", "--phase", "COMPLETED", "--limit", "200")["items"]
        return {item["metadata"]["id"] for item in items}

    wait_until(lambda: names <= done(), "all that was accepted completes")
    _until_back(harness)
    yield


@contextmanager
def crash_loop(harness: Harness) -> Iterator[None]:
    """A binary that ends as soon as it is started, until it is given up."""
    (harness.folder / "temporal.breaks").touch()
    harness.stigmer.kill("temporal")
    wait_until(lambda: harness.record("temporal")["failures"] >= FAILED_FOR_GOOD, "Temporal is given up")
    yield
    del harness.stigmer.environment["STIGMER_TEMPORAL_BINARY"]


@contextmanager
def frozen(harness: Harness) -> Iterator[None]:
    """SIGSTOP."""
    with harness.held("temporal"):
        yield


@contextmanager
def frozen_for_good(harness: Harness) -> Iterator[None]:
    """SIGSTOP until the supervisor has replaced it."""
    with harness.held("temporal") as pids:
        wait_until(lambda: not psutil.pid_exists(pids["temporal"]), "the frozen Temporal is ended")
        _until_back(harness)
        yield


@contextmanager
def emptied(harness: Harness) -> Iterator[None]:
    """Its database file is gone when it comes back, with an execution under way."""
    with _under_way(harness) as name, harness.held("supervisor") as pids:
        end(pids["temporal"])
        _remove_database(harness)
        os.kill(pids["supervisor"], signal.SIGCONT)
        _until_resumed(harness, name)
        yield


@contextmanager
def older_copy(harness: Harness) -> Iterator[None]:
    """It comes back with a copy of its database from before the execution."""
    files = [harness.home / "data" / f"temporal.db{side}" for side in ("", "-wal", "-shm")]
    with harness.held("supervisor") as pids:
        end(pids["temporal"])
        kept = {file: file.read_bytes() for file in files if file.exists()}
    _until_back(harness)
    with _under_way(harness) as name, harness.held("supervisor") as pids:
        end(pids["temporal"])
        _remove_database(harness)
        for file, content in kept.items():
            file.write_bytes(content)
        os.kill(pids["supervisor"], signal.SIGCONT)
        _until_resumed(harness, name)
        yield


@contextmanager
def expired(harness: Harness) -> Iterator[None]:
    """Temporal has deleted the workflow, as it does when retention is over, before the server took its outcome."""
    with _under_way(harness) as name:
        workflow = harness.execution(name)["dispatch"]["workflowId"]
        address = f"127.0.0.1:{harness.stigmer.environment['STIGMER_TEMPORAL_PORT']}"
        subprocess.run(
            [str(find_binary(None)), "workflow", "delete", "-w", workflow, "--address", address, "--yes"],
            check=True,
            capture_output=True,
        )
        _until_resumed(harness, name)
        yield


# -- the runner


@contextmanager
def poisoned(harness: Harness) -> Iterator[None]:
    """The runner dies each time it performs one execution, until it is given up."""
    with _under_way(harness) as name:
        for attempt in (1, 2):
            wait_until(lambda: harness.execution(name)["attempt"] >= attempt, f"attempt {attempt}")  # noqa: B023 - at once
            harness.stigmer.kill("runner")
        while harness.record("runner")["failures"] < FAILED_FOR_GOOD:
            with suppress(KeyError, ProcessLookupError):
                harness.stigmer.kill("runner")
        yield


@contextmanager
def parked(harness: Harness) -> Iterator[None]:
    """A runner that lives and does not poll."""
    mark = harness.home / "parked"
    mark.touch()
    harness.stigmer.kill("runner")
    wait_until(lambda: (harness.record("runner")["uptimeS"] or 0) >= 0 and harness.fails("STG207"), "nobody polls")
    mark.unlink()
    yield


# -- the supervisor, the disk, a port


@contextmanager
def unsupervised(harness: Harness) -> Iterator[None]:
    """The supervisor is killed, and its parts end with it."""
    _end_supervisor(harness)
    yield


@contextmanager
def reused_pid(harness: Harness) -> Iterator[None]:
    """The same, and every pid that was written down is somebody else's now."""
    _end_supervisor(harness)
    file = harness.home / "run" / "supervisor.json"
    with subprocess.Popen(["sleep", "600"]) as innocent:
        try:
            found = json.loads(file.read_text())
            for one in (found, *found["children"]):
                one["pid"] = innocent.pid
            file.write_text(json.dumps(found))
            yield
            assert innocent.poll() is None, "somebody else's process was touched"
        finally:
            innocent.kill()


@contextmanager
def disk_full(harness: Harness) -> Iterator[None]:
    """No room on the disk of the home: nothing is accepted, and all else works on."""
    if not harness.is_small:
        pytest.skip("a full disk needs root and the right to mount a tmpfs")
    wait_until(lambda: _shrunk(harness), "the disk holds what is on it, and no more")
    try:
        refused = harness.stigmer("run", "greeter", "hello", "--detach")
        assert refused.returncode == 1
        assert "disk full" in refused.stderr
        yield
    finally:
        resize(harness.home, ROOM)


# -- hands


def _shrunk(harness: Harness) -> bool:
    """Whether the disk is full now; a page written meanwhile makes it too small for what it holds, and is refused."""
    room = os.statvfs(harness.home)
    used = (room.f_blocks - room.f_bfree) * room.f_frsize
    with suppress(subprocess.CalledProcessError):
        resize(harness.home, str(used // BLOCK * BLOCK))
        return True
    return False


def _server(harness: Harness) -> str:
    return f"http://127.0.0.1:{harness.stigmer.environment['STIGMER_SERVER_PORT']}"


def _kill_temporal(harness: Harness) -> None:
    before = harness.part("temporal")["restarts"]
    harness.stigmer.kill("temporal")
    wait_until(lambda: harness.part("temporal")["restarts"] > before, "Temporal is started again")
    _until_back(harness)


def _until_back(harness: Harness) -> None:
    wait_until(lambda: harness.stigmer("status").returncode == 0, "the stack is ready")


def _remove_database(harness: Harness) -> None:
    for side in ("", "-wal", "-shm"):
        (harness.home / "data" / f"temporal.db{side}").unlink(missing_ok=True)


def _end_supervisor(harness: Harness) -> None:
    pids = harness.stigmer.pids()
    end(pids["supervisor"])
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids.values()), "its parts end")


def _until_resumed(harness: Harness, name: str) -> None:
    """Return once the server has resumed the execution by itself, which it does in a minute at most."""
    wait_until(lambda: harness.execution(name)["epoch"] > 1, "it is resumed", within_s=RESUMED_IN_S)


@contextmanager
def _under_way(harness: Harness) -> Iterator[str]:
    """An execution that a run has claimed; cancelled in the end."""
    name = harness.stigmer.ok("run", "slow", LONG, "--detach").strip()
    try:
        wait_until(lambda: harness.execution(name)["attempt"] >= 1, "it is performed")
        yield name
    finally:
        if harness.execution(name)["attention"]:  # doctor's fix was not reached
            harness.stigmer("executions", "reconcile", name, "--include-in-progress", "--yes")
        harness.stigmer("executions", "cancel", name)
        wait_until(lambda: harness.execution(name)["completedAt"], "it is cancelled")


@contextmanager
def in_reach_of_pages(harness: Harness) -> Iterator[None]:
    """The filter on Temporal's metrics is gone, as where a container forbids it."""
    port = json.loads((harness.home / "run" / "stack.json").read_text())["metrics_port"]
    detach(harness.stigmer.pids()["temporal"], port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.status == HTTPStatus.OK
    yield
