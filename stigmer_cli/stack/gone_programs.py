"""Finds parts whose program was moved or removed under them: they keep working, and cannot be started again."""

import os
from collections.abc import Mapping
from pathlib import Path

from stigmer_cli.supervisor.process import IS_LINUX, ProcessId
from stigmer_cli.supervisor.record import SupervisorRecord

WAY_OUT = "stigmer restart"
"""Starts every part from the installation that this command belongs to."""

Gone = Mapping[str, str]
"""The path of a part's program that is not there any more, by the name of the part."""


def find_gone_programs(record: SupervisorRecord | None) -> Gone:
    """The gone programs of the parts of `record`; nothing about a process that cannot be seen from here.

    The supervisor itself is left out: it starts no second one of its own.
    """
    if record is None or not record.is_visible:
        return {}
    programs = {child.name: find_gone_program(child.id) for child in record.children if child.id}
    return {name: path for name, path in programs.items() if path}


def find_gone_program(one: ProcessId) -> str:
    """The path that `one` was started from, if nothing is there any more, as after an upgrade or a move; else empty."""
    if not one.is_alive or not _is_same_root(one.pid):
        return ""
    program = _program_of(one.pid)
    return program if program.startswith("/") and not os.path.exists(program) else ""  # noqa: PTH110 - odd names, too


def describe_gone(gone: Gone) -> str:
    """What `gone` means, as a sentence."""
    parts: dict[str, list[str]] = {}
    for name, path in gone.items():
        parts.setdefault(path, []).append(name)
    where = ", ".join(f"{path} ({', '.join(names)})" for path, names in parts.items())
    return f"programs that running parts were started from are gone: {where}; a part that ends cannot be started again"


def _program_of(pid: int) -> str:
    """What the process was started as; empty if it is gone, or belongs to another user."""
    if IS_LINUX:
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0])
        except OSError:
            return ""
    import psutil  # noqa: PLC0415 - only where there is no /proc

    try:
        return next(iter(psutil.Process(pid).cmdline()), "")
    except psutil.Error:
        return ""


def _is_same_root(pid: int) -> bool:
    """Whether the process sees the files that this one sees; False too where that cannot be told."""
    if not IS_LINUX:
        return True
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")  # noqa: PTH115 - no file
    except OSError:
        return False
