"""The homes of the supervisors that this user runs, as their processes show them, and which of them uses a port."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stigmer_cli.settings import Home
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.supervisor.process import IS_LINUX

PROC = Path("/proc")
SUPERVISOR_MODULE = "stigmer_cli.supervisor"
RUN_FOLDER = "run"


def find_running_homes() -> frozenset[Path]:
    """Every such home."""
    found = _linux_supervisors() if IS_LINUX else _portable_supervisors()
    return frozenset(folder.parent for folder in found if folder.name == RUN_FOLDER and folder.is_dir())


def find_home_of_port(port: int) -> Path | None:
    """The home whose stack was started on `port` and runs; None where no stack of this user has it."""
    for path in sorted(find_running_homes()):
        found = read_endpoints(Home(path=path))
        if found is not None and any(port in ports for ports in found.ports.values()):
            return path
    return None


def _linux_supervisors() -> Iterator[Path]:
    """The working directories of the supervisors of this user; those that are removed end with ` (deleted)`."""
    for process in PROC.glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == os.geteuid() and SUPERVISOR_MODULE in _words_of(process):
                yield (process / "cwd").readlink()


def _words_of(process: Path) -> list[str]:
    return os.fsdecode((process / "cmdline").read_bytes()).split("\0")


def _portable_supervisors() -> Iterator[Path]:
    import psutil  # noqa: PLC0415 - only where there is no /proc

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().effective == os.geteuid() and SUPERVISOR_MODULE in process.cmdline():
                yield Path(process.cwd())
