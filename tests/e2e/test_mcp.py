"""`stigmer mcp` before a client that writes JSON-RPC by hand: only the protocol comes out, and it always ends."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.installed import Stigmer
from tests.support.polling import wait_until

ANSWER_MAX_S = 30.0
"""Also on a busy machine."""

HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "by-hand", "version": "1"},
    },
}
OVERSIZED = 8_000_000


class ByHand:
    """The pipes of a `stigmer mcp`, one JSON object a line."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    def send(self, message: dict[str, Any] | bytes) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        assert self.process.stdin
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_MAX_S)
        assert ready, "no answer"
        found = json.loads(self.process.stdout.readline())
        assert isinstance(found, dict)
        return found

    def greet(self) -> dict[str, Any]:
        self.send(HELLO)
        found = self.receive()
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return found

    def call(self, number: int, tool: str, **arguments: object) -> None:
        params = {"name": tool, "arguments": arguments}
        self.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


@contextmanager
def serving(stigmer: Stigmer, *options: str) -> Iterator[ByHand]:
    with stigmer.piped("mcp", *options) as process:
        yield ByHand(process)


@pytest.fixture
def stigmer(tmp_path: Path) -> Stigmer:
    return Stigmer(tmp_path / "home")


def test_whatever_a_client_sends_the_next_request_is_answered(stigmer: Stigmer) -> None:
    with serving(stigmer) as client:
        assert client.greet()["result"]["serverInfo"]["name"] == "stigmer"
        client.send({"jsonrpc": "2.0", "id": 1, "method": "nothing/such"})
        assert client.receive()["error"]["code"] == -32601
        for nonsense in (b"{not json", b"[1, 2]", b"", b"\xff\xfe", b'"text"', b'{"jsonrpc": "1.0"}'):
            client.send(nonsense)
        client.call(2, "logs", contains="x" * OVERSIZED)
        assert client.receive()["result"]["isError"]
        client.call(3, "doctor")
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}})
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}})
        client.call(4, "status")
        found = client.receive()  # a request that was cancelled is not answered
        assert (found["id"], found["result"]["structuredContent"]["state"]) == (4, "stopped")
        assert client.process.stdin
        client.process.stdin.close()
        assert client.process.wait(ANSWER_MAX_S) == 0
        assert client.process.stdout
        assert client.process.stdout.read() == b""


def test_it_ends_when_standard_input_does_also_in_the_middle_of_a_call(stigmer: Stigmer) -> None:
    with serving(stigmer) as client:
        client.greet()
        client.call(1, "doctor")
        assert client.process.stdin
        client.process.stdin.close()
        assert client.process.wait(ANSWER_MAX_S) == 0
        assert client.process.stderr
        assert client.process.stderr.read() == b""


def test_it_ends_when_nobody_reads_its_answers(stigmer: Stigmer) -> None:
    with serving(stigmer) as client:
        client.greet()
        assert client.process.stdout
        client.process.stdout.close()
        client.call(1, "status")
        assert client.process.wait(ANSWER_MAX_S) == 0


def is_importing(child: psutil.Process) -> bool:
    """It is `stigmer`, and does not serve yet."""
    return any("pydantic_core" in one.path for one in child.memory_maps())


def is_serving(child: psutil.Process) -> bool:
    """It reads standard input, in a thread."""
    return child.num_threads() > 1


@pytest.mark.parametrize("is_at", [is_importing, is_serving])
def test_it_ends_with_its_parent_though_somebody_else_holds_its_pipes(
    stigmer: Stigmer, is_at: Callable[[psutil.Process], bool]
) -> None:
    program = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.readline(); print('never')"
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}", stigmer.command, "mcp"],
        env=stigmer.environment,
        stdin=ours,
        stdout=subprocess.DEVNULL,
    ) as parent:
        wait_until(lambda: any("mcp" in child.cmdline() for child in psutil.Process(parent.pid).children()))
        (child,) = psutil.Process(parent.pid).children()
        wait_until(lambda: is_at(child))
        parent.kill()
    wait_until(lambda: not child.is_running())
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once(stigmer: Stigmer, number: signal.Signals) -> None:
    with serving(stigmer) as client:
        client.greet()
        client.process.send_signal(number)
        assert client.process.wait(ANSWER_MAX_S) == -number


def test_without_a_client_it_ends_without_a_word(stigmer: Stigmer) -> None:
    done = stigmer("mcp")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
