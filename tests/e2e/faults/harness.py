"""What faults are injected into: an installed `stigmer`, what it runs, and the hands to hurt and to mend it."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect  # type: ignore[import-untyped] # its stubs are not installed
import psutil

from stigmer_cli.temporal.dev_server import find_binary
from tests.e2e.faults.gate import Gate
from tests.support.clock_shim import ClockShim
from tests.support.freezing import freeze
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until
from tests.support.temporal_server import DevServer

HINT_MAX_S = 40
SAID_MAX = 1_000
WITHIN_S = 30.0
ROOM = "1g"
"""Of the small disk that a home lies on; it takes memory only for what is written."""

EXTERNAL_NAMESPACE = "work"
BREAKABLE = """#!/bin/sh
if [ -e '{mark}' ]; then echo 'Error: unknown flag: --nonsense' >&2; exit 1; fi
exec '{real}' "$@"
"""
PARKABLE = """
import os, sys
if sys.orig_argv[-1] == "work" and os.path.exists(os.path.join(os.environ["STIGMER_HOME"], "parked")):
    import asyncio
    from temporalio.worker import Worker
    async def parked(self):
        await asyncio.Event().wait()
    Worker.run = parked
"""
AGENTS = {"greeter": "echo", "slow": "echo:slow"}


@dataclass(kw_only=True)
class Harness:
    """One home. `temporal` and `gate` are there where somebody else runs its Temporal; `is_small` on a disk to fill."""

    stigmer: Stigmer
    folder: Path
    temporal: DevServer | None = None
    gate: Gate | None = None
    clocks: ClockShim | None = None
    is_small: bool = False

    @property
    def home(self) -> Path:
        """The home folder."""
        return self.stigmer.home

    @property
    def outside(self) -> DevServer:
        """The Temporal that somebody else runs."""
        assert self.temporal is not None
        return self.temporal

    def set_clock(self, part: str, ahead_s: float) -> None:
        """Set the wall clock of one part, and return when it has noticed."""
        assert self.clocks is not None
        log = self.home / "logs" / f"{part}.log"
        before = log.read_text().count("clock_jumped")
        self.clocks.set(part, ahead_s)
        wait_until(
            lambda: log.read_text().count("clock_jumped") > before, f"the {part} has noticed that its clock was set"
        )

    @property
    def between(self) -> Gate:
        """What stands before it."""
        assert self.gate is not None
        return self.gate

    @property
    def shell_environment(self) -> dict[str, str]:
        """The environment of a shell in which `stigmer` is found."""
        path = f"{Path(self.stigmer.command).parent}{os.pathsep}{self.stigmer.environment['PATH']}"
        return {**self.stigmer.environment, "PATH": path, "TERM": "dumb"}

    def paste(self, command: str) -> None:
        """Type `command` into a terminal and say yes to what it asks; fails unless it ends well."""
        said, code = pexpect.run(
            "bash -c " + _quoted(command),
            env=self.shell_environment,
            events={r"\[y/N\]": "y\n"},
            withexitstatus=True,
            timeout=HINT_MAX_S,
            encoding="utf-8",
        )
        assert code == 0, f"{command}: exit {code}\n{said[-SAID_MAX:]}"

    def part(self, name: str) -> Mapping[str, Any]:
        """One part as `status` shows it."""
        parts = self.stigmer.json("status")["parts"]
        return next(one for one in parts if one["name"] == name)

    @contextmanager
    def held(self, *names: str) -> Iterator[Mapping[str, int]]:
        """The pids of all parts, those of `names` frozen meanwhile."""
        pids = self.stigmer.pids()
        for name in names:
            freeze(pids[name])
        try:
            yield pids
        finally:
            for name in names:
                with suppress(ProcessLookupError):  # it may have been ended for its silence
                    os.kill(pids[name], signal.SIGCONT)

    def record(self, name: str) -> Mapping[str, Any]:
        """One part as its supervisor wrote it down."""
        found = json.loads((self.home / "run" / "supervisor.json").read_text())
        return next(one for one in found["children"] if one["name"] == name)

    def execution(self, name: str) -> Mapping[str, Any]:
        """The status of one execution."""
        status = self.stigmer.json("executions", "get", name)["status"]
        assert isinstance(status, dict)
        return status

    def fails(self, code: str) -> bool:
        """Whether doctor's check `code` fails now."""
        found = self.stigmer.json("doctor", "--only", code)["checks"]
        return any(one["code"] == code and one["result"] == "fail" for one in found)


def end(pid: int) -> None:
    """SIGKILL, and return when it is gone."""
    process = psutil.Process(pid)
    process.kill()
    psutil.wait_procs([process], timeout=2)


@contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """A disk of its own at `place`, which `resize` can fill; False where that is not allowed."""
    place.mkdir(mode=0o700)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=700", "tmpfs", str(place)], check=False, capture_output=True
    )
    try:
        yield made.returncode == 0
    finally:
        if made.returncode == 0 and place.is_mount():
            subprocess.run(["umount", "-l", str(place)], check=True)


def resize(place: Path, size: str) -> None:
    """Give the disk at `place` another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)


@contextmanager
def own_temporal(folder: Path) -> Iterator[Harness]:
    """A stack that is up with a Temporal of its own, in a home on a small disk where that is allowed."""
    clocks = ClockShim(folder)
    parts = {"STIGMER_TEMPORAL_BINARY": str(_breakable(folder)), "PYTHONPATH": str(_parkable(folder))}
    settings = {**parts, **clocks.environment}
    with small_disk(folder / "home") as is_small, installed(folder / "home", settings) as stigmer:
        stigmer.ok("up")
        yield _with_agents(Harness(stigmer=stigmer, folder=folder, clocks=clocks, is_small=is_small))


@contextmanager
def others_temporal(folder: Path) -> Iterator[Harness]:
    """A stack that is up with a Temporal that somebody else runs, behind a gate."""
    with DevServer(folder, file=folder / "others.db", namespace=EXTERNAL_NAMESPACE) as temporal:
        temporal.start()
        gate = Gate(temporal.port)
        try:
            settings = {"STIGMER_TEMPORAL_ADDRESS": gate.address, "STIGMER_TEMPORAL_NAMESPACE": EXTERNAL_NAMESPACE}
            with installed(folder / "home", settings) as stigmer:
                stigmer.ok("up")
                yield _with_agents(Harness(stigmer=stigmer, folder=folder, temporal=temporal, gate=gate))
        finally:
            gate.close()


@contextmanager
def stopped(folder: Path) -> Iterator[Harness]:
    """A home whose stack is down whenever a fault begins."""
    with installed(folder / "home") as stigmer:
        yield Harness(stigmer=stigmer, folder=folder)


def _breakable(folder: Path) -> Path:
    """A temporal binary that is the real one until the file `temporal.breaks` is there."""
    path = folder / "temporal-that-breaks"
    path.write_text(BREAKABLE.format(mark=folder / "temporal.breaks", real=find_binary(None)))
    path.chmod(0o755)
    return path


def _parkable(folder: Path) -> Path:
    """A folder on Python's path with which a runner that finds the file `parked` in its home never polls."""
    path = folder / "python"
    path.mkdir()
    (path / "sitecustomize.py").write_text(PARKABLE)
    return path


def _with_agents(harness: Harness) -> Harness:
    for name, model in AGENTS.items():
        harness.stigmer.apply_agent(name, model)
    return harness


def _quoted(text: str) -> str:
    return "'" + re.sub("'", "'\\''", text) + "'"
