"""The sockets of a process and of its group, as /proc lists them; Linux only."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

IPV4, ANY_IP = ("tcp",), ("tcp", "tcp6")
LISTENING = "0A"
"""TCP_LISTEN as /proc/net/tcp writes it (proc(5))."""


def listening_sockets(pid: int, tables: Sequence[str]) -> Iterator[tuple[str, int]]:
    """What /proc calls each listening socket in the network of `pid`, and its port; `tables` is IPV4 or ANY_IP."""
    for table in tables:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split(maxsplit=10)
                if fields[3] == LISTENING:
                    yield f"socket:[{fields[9]}]", int(fields[1].rpartition(":")[2], 16)


def network_of(pid: int) -> str:
    """The network namespace of `pid` (network_namespaces(7)); empty where /proc does not say."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return ""


def open_files(pid: int) -> Iterator[tuple[int, str]]:
    """The number of each file that `pid` has open, and what /proc calls it."""
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                yield int(entry.name), str(entry.readlink())


def group_with(leader: int) -> Iterator[int]:
    """`leader`, then the others of its group: a binary may have been started by a script that waits for it."""
    yield leader
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != leader:
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) == leader:
                    yield int(entry.name)
