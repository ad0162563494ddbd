"""The installed `stigmer`, driven as a person would, on free ports and in a home of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.freezing import freeze
from tests.support.temporal_server import free_port

COMMAND_MAX_S = 90
KILLED_MAX_S = 5


class Stigmer:
    """One home, and the command line that works in it."""

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.settings = dict(settings or {})
        self.directory: Path | None = None
        self.environment = {
            **os.environ,
            "STIGMER_HOME": str(home),
            "XDG_STATE_HOME": str(home.parent / "state"),
            "STIGMER_SERVER_PORT": str(free_port()),
            "STIGMER_TEMPORAL_PORT": str(free_port()),
            "STIGMER_UI_PORT": str(free_port()),
            "COLUMNS": "120",
            **(settings or {}),
        }

    @property
    def command(self) -> str:
        """The console script of this virtual environment."""
        found = shutil.which("stigmer", path=str(Path(sys.executable).parent))
        assert found, "stigmer is not installed beside this Python"
        return found

    def __call__(
        self, *arguments: str, stdin: str = "", timeout_s: float = COMMAND_MAX_S
    ) -> "subprocess.CompletedProcess[str]":
        """What `stigmer ARGUMENTS` prints and how it exits."""
        return subprocess.run(
            [self.command, *arguments],
            env=self.environment,
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def spawn(self, *arguments: str) -> "subprocess.Popen[str]":
        """`stigmer ARGUMENTS` under way."""
        return subprocess.Popen(
            [self.command, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def piped(self, *arguments: str, within: Sequence[str] = ()) -> Iterator["subprocess.Popen[bytes]"]:
        """`stigmer ARGUMENTS`, each stream a pipe, started by the command `within`, and killed at the end."""
        with subprocess.Popen(
            [*within, self.command, *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """What it prints on standard output; fails unless it exits 0."""
        done = self(*arguments, stdin=stdin)
        assert done.returncode == 0, (
            f"stigmer {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        """Its JSON result; whatever the exit code."""
        done = self(*arguments, "-o", "json")
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def pids(self) -> dict[str, int]:
        """The pid of every part that runs, by name."""
        parts = self.json("status")["parts"]
        assert isinstance(parts, list)
        return {part["name"]: part["pid"] for part in parts if part.get("pid")}

    def kill(self, part: str) -> None:
        """SIGKILL one part."""
        os.kill(self.pids()[part], signal.SIGKILL)

    def apply_agent(self, name: str = "greeter", model: str = "echo") -> None:
        """Apply one agent."""
        manifest = (
            "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\n"
            f"metadata: {{name: {name}}}\nspec: {{description: says hello, model: '{model}'}}\n"
        )
        self.ok("apply", "-f", "-", stdin=manifest)

    def processes(self) -> list[psutil.Process]:
        """Every process that works in this home, found by its environment."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("STIGMER_HOME") == str(self.home):
                    found.append(process)
        return found


def collect(process: "subprocess.Popen[str]") -> None:
    """Ask a spawned command to end, and see that it does."""
    process.terminate()
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stopped by a signal, and let go on at the end."""
    for pid in pids:
        freeze(pid)
    try:
        yield
    finally:
        for pid in reversed(pids):
            with suppress(ProcessLookupError):  # its supervisor may have ended it for its silence
                os.kill(pid, signal.SIGCONT)


@contextmanager
def installed(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[Stigmer]:
    """The command line in `home`; whatever it started is killed at the end: `down` takes seconds, and has its tests."""
    home.mkdir(mode=0o700, exist_ok=True)
    stigmer = Stigmer(home, settings)
    try:
        yield stigmer
    finally:
        while left := stigmer.processes():  # one of them may just have started another
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=KILLED_MAX_S)
