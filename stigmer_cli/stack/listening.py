"""Whether a process of ours holds the port that it should: who answers on a port may be somebody else."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from stigmer_cli.stack.state import Endpoints
from stigmer_cli.supervisor.process import IS_LINUX
from stigmer_cli.supervisor.record import SupervisorRecord

CONNECT_MAX_S = 0.2
LISTENING = "0A"
"""TCP_LISTEN as /proc/net/tcp writes it (proc(5))."""


def unheld(record: SupervisorRecord, found: Endpoints) -> dict[str, int]:
    """For each running part that does not hold all its ports, the first that it does not, as far as one can see."""
    lacking: dict[str, int] = {}
    if not record.is_visible:
        return lacking
    for child in record.children:
        if child.id is None:
            continue
        for port in found.ports.get(child.name, ()):
            if child.name not in lacking and not holds(child.id.pid, port):
                lacking[child.name] = port
    return lacking


def is_listened_on(port: int) -> bool:
    """Whether anybody listens on `port` of loopback; nothing is bound, which could keep a part from its own port."""
    if IS_LINUX:
        return any(True for _ in _listening_inodes(os.getpid(), port))
    with socket.socket() as probe:
        probe.settimeout(CONNECT_MAX_S)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def holds(pid: int, port: int) -> bool:
    """Whether process `pid`, or one in the group that it leads, listens on `port`."""
    if not IS_LINUX:
        return _portably_holds(pid, port)
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(pid, port)}
    if not wanted:
        return False
    return _has_open(pid, wanted) or any(_has_open(other, wanted) for other in _group(pid))


def _listening_inodes(pid: int, port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _has_open(pid: int, wanted: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if str(entry.readlink()) in wanted:
                    return True
    return False


def _group(leader: int) -> Iterator[int]:
    """The other processes of a group: a binary may have been started by a script that waits for it."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != leader:
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) == leader:
                    yield int(entry.name)


def _portably_holds(pid: int, port: int) -> bool:
    import psutil  # noqa: PLC0415 - only where there is no /proc

    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        ends = [end for process in family for end in process.net_connections("tcp")]
    except psutil.Error:
        return False
    return any(end.status == psutil.CONN_LISTEN and end.laddr.port == port for end in ends)
