"""A supervisor in a process of its own with one-line Python children, for tests; nothing of it outlives them."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from stigmer_cli.clock import SystemClock
from stigmer_cli.supervisor.control import Control, Unresponsive, connect
from stigmer_cli.supervisor.launch import launch
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import ChildRecord, SupervisorRecord
from stigmer_cli.supervisor.spec import ChildSpec, SupervisorSpec
from tests.support.polling import until_true

ROOT = Path(__file__).parents[2]
WITHIN_S = 15.0

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
DIES = "print('about to die', flush=True); raise SystemExit(3)"


def environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment, in which the package is found wherever a process starts."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **(extra or {})}


def child(folder: Path, name: str, code: str, **changes: Any) -> ChildSpec:
    """A child that runs one line of Python."""
    spec = ChildSpec(
        name=name,
        argv=(sys.executable, "-c", code),
        env=environ(),
        cwd=folder,
        log=folder / f"{name}.log",
        stop_grace_s=2.0,
    )
    return replace(spec, **changes)


def spec_of(folder: Path, *children: ChildSpec, **changes: Any) -> SupervisorSpec:
    """A supervisor that works in `folder`."""
    spec = SupervisorSpec(folder=folder, log=folder / "supervisor.log", children=children)
    return replace(spec, **changes)


@dataclass(kw_only=True)
class Supervised:
    """A supervisor under way."""

    folder: Path
    id: ProcessId

    @contextlib.asynccontextmanager
    async def control(self) -> AsyncIterator[Control]:
        """A connection to it."""
        control = await connect(self.folder, within_s=5.0)
        assert control is not None, "nobody listens"
        async with control:
            yield control

    async def ask(self, op: str, name: str | None = None) -> dict[str, Any]:
        """The answer to one request."""
        async with self.control() as control:
            return dict(await control.ask(op, name))

    async def until(self, is_so: Callable[[SupervisorRecord], object], what: str) -> SupervisorRecord:
        """The first state for which `is_so` holds, learned from its stream of changes."""
        last = None
        try:
            async with asyncio.timeout(WITHIN_S), self.control() as control:
                async for record in control.watch():
                    last = record
                    if is_so(record):
                        return record
        except TimeoutError:
            pass
        raise AssertionError(f"never {what}; last: {last}\n{self.log()}")

    async def child(self, name: str, is_so: Callable[[ChildRecord], object], what: str) -> ChildRecord:
        """The first state of one child for which `is_so` holds."""
        record = await self.until(lambda found: is_so(_child(found, name)), what)
        return _child(record, name)

    async def says(self, name: str, words: str = "up", times: int = 1) -> None:
        """Return once the log of a child holds `words` so often."""
        path = self.folder / f"{name}.log"

        def is_said() -> bool:
            with contextlib.suppress(FileNotFoundError):  # not begun yet, or just being rotated away
                return path.read_text(errors="replace").count(words) >= times
            return False

        await until_true(is_said, f"{name}: {words}")

    def log(self) -> str:
        """What the supervisor wrote about itself."""
        path = self.folder / "supervisor.log"
        return path.read_text() if path.exists() else ""


def _child(record: SupervisorRecord, name: str) -> ChildRecord:
    found = record.child(name)
    assert found is not None
    return found


@contextlib.asynccontextmanager
async def supervised(
    folder: Path, *children: ChildSpec, variables: Mapping[str, str] | None = None, **changes: Any
) -> AsyncIterator[Supervised]:
    """A detached supervisor with these children; it and they are gone at the end, also after a failure.

    `variables`: what else it has in its environment.
    """
    spec = spec_of(folder, *children, **changes)
    identity = await launch(spec, environ=environ(variables), clock=SystemClock())
    under_way = Supervised(folder=folder, id=identity)
    try:
        yield under_way
    finally:
        known = await _pids(folder)
        identity.send(signal.SIGCONT)
        identity.send(signal.SIGKILL)
        await until_true(lambda: not any(one.is_alive for one in [identity, *known]), "everything gone")


async def _pids(folder: Path) -> list[ProcessId]:
    with contextlib.suppress(Unresponsive):
        control = await connect(folder, within_s=1.0)
        if control is not None:
            async with control:
                return [one.id for one in (await control.status()).children if one.id]
    return []


def descendants_in(folder: Path) -> list[psutil.Process]:
    """Every process that works in `folder`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder):
                found.append(process)
    return found
