"""A real Temporal dev server that a test may kill, freeze, empty and bring back, and that never outlives the test."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from temporalio.client import Client

from stigmer_cli.temporal.dev_server import dev_server_argv, find_binary
from stigmer_cli.temporal.dial import quiet_runtime
from tests.support.freezing import freeze
from tests.support.polling import eventually

START_MAX_S = 20.0
STOP_MAX_S = 10.0
PR_SET_PDEATHSIG = 1
PORTS = (12_000, 32_000)
PORT_TRIES_MAX = 1_000


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, and that no other test, of any run, is given meanwhile.

    It lies below the ports that the kernel hands out by itself, or an outgoing connection of somebody else could take
    it before the server of the test does. The claim on it is a socket in Linux's abstract namespace, which leaves no
    file and ends with this process.
    """
    dice = random.SystemRandom()
    for _ in range(PORT_TRIES_MAX):
        port = dice.randrange(*PORTS)
        if _is_claimed(port):
            continue
        with socket.socket() as listener, suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no owner
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no free port in {PORT_TRIES_MAX} tries between {PORTS[0]} and {PORTS[1]}")


def _is_claimed(port: int) -> bool:
    """Whether another test has it; if not, it is ours from now on."""
    if sys.platform != "linux":
        return False
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0stigmer-test-port-{port}")
    except OSError:
        claim.close()
        return True
    claim.detach()  # open for as long as this process lives
    return False


def die_with_parent() -> None:
    """In a child, before exec: be killed when the test process goes, however it goes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process and all its group, and collect it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=STOP_MAX_S)


class DevServer:
    """One dev server on one port; `file` None keeps it in memory. Use it as a context manager."""

    def __init__(
        self, folder: Path, *, port: int | None = None, file: Path | None = None, namespace: str = "default"
    ) -> None:
        self.port = port or free_port()
        self.file = file
        self.namespace = namespace
        self._log = folder / f"temporal-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start it and return when its port answers."""
        assert self._process is None, "the server is running"
        argv = dev_server_argv(binary=find_binary(None), port=self.port, file=self.file, namespace=self.namespace)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
            )
        self._until_it_listens()
        return self

    def kill(self) -> None:
        """SIGKILL; nothing if it is not running."""
        if self._process is not None:
            kill_group(self._process)
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP."""
        freeze(self.pid)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def forget(self) -> None:
        """Remove the database file of a server that is not running."""
        assert self._process is None, "stop the server first"
        assert self.file is not None, "a server in memory forgets by itself"
        for side in ("", "-wal", "-shm"):
            self.file.with_name(self.file.name + side).unlink(missing_ok=True)

    def operator(self, *arguments: str) -> str:
        """What `temporal operator ARGUMENTS` says about this server."""
        answer = subprocess.run(
            [str(find_binary(None)), "operator", *arguments, "--address", self.address],
            capture_output=True,
            text=True,
            timeout=STOP_MAX_S,
            check=True,
        )
        return answer.stdout

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _until_it_listens(self) -> None:
        assert self._process is not None
        deadline, times = time.monotonic() + START_MAX_S, 0
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            # Twice in a row: while it starts, it listens for a moment to see whether the port is free.
            times = times + 1 if self._listens() else 0
            if times == 2:
                return
            time.sleep(0.01)
        self.kill()
        raise AssertionError(f"temporal did not start: {self._log.read_text(errors='replace')[-2000:]}")


@contextmanager
def dev_server(folder: Path, *, file: Path | None = None, namespace: str = "default") -> Iterator[DevServer]:
    """A started dev server, killed at the end."""
    with DevServer(folder, file=file, namespace=namespace) as server:
        yield server.start()


async def client_of(server: DevServer) -> Client:
    """A client of a server that has just begun to listen, and says for a moment that it is not healthy yet."""
    connect = partial(Client.connect, server.address, identity="test", runtime=quiet_runtime())
    return await eventually(connect, within_s=START_MAX_S, despite=RuntimeError)
