"""Whether a part holds its own port: another process may answer there."""

import os
import socket
from collections.abc import Container, Sequence

from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.parts import LOOPBACK
from stigmer_cli.supervisor.process import IS_LINUX
from stigmer_cli.supervisor.record import SupervisorRecord
from stigmer_cli.supervisor.sockets import ANY_IP, group_with, listening_sockets, network_of, open_files

CONNECT_MAX_S = 0.2


def find_parts_missing_ports(record: SupervisorRecord, found: Endpoints) -> dict[str, int]:
    """The running parts that do not hold one of their ports, each with the first such port.

    Empty if the processes of the stack are not visible from here.
    """
    lacking: dict[str, int] = {}
    listeners = Listeners()
    if not record.is_visible:
        return lacking
    for child in record.children:
        if child.id is None:
            continue
        for port in found.ports.get(child.name, ()):
            if child.name not in lacking and not holds(child.id.pid, port, listeners):
                lacking[child.name] = port
    return lacking


def is_listened_on(port: int) -> bool:
    """Whether anybody listens on `port` of loopback; nothing is bound, which could keep a part from its own port."""
    if IS_LINUX:
        return any(at == port for _, at in listening_sockets(os.getpid(), ANY_IP))
    return accepts_connections(port)


def accepts_connections(port: int) -> bool:
    """Whether somebody accepts connections to `port` of loopback: costs next to nothing, and does not say who."""
    with socket.socket() as probe:
        probe.settimeout(CONNECT_MAX_S)
        return probe.connect_ex((LOOPBACK, port)) == 0


class Listeners:
    """Which sockets listen on a port, as they are when this is first asked: the kernel takes milliseconds for a table.

    The table of a network is read when it is needed, and once.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Sequence[tuple[str, int]]] = {}

    def find(self, pid: int, port: int, table: str) -> set[str]:
        """What /proc calls the sockets that listen on `port` in the network of `pid`, according to `table`."""
        key = (network_of(pid), table)
        if key not in self._known:
            self._known[key] = tuple(listening_sockets(pid, (table,)))
        return {name for name, at in self._known[key] if at == port}


def holds(pid: int, port: int, listeners: Listeners | None = None) -> bool:
    """Whether process `pid`, or one in the group that it leads, listens on `port`; `listeners`: as of one look."""
    if not IS_LINUX:
        return _portably_holds(pid, port)
    found = (listeners or Listeners()).find
    return any(_has_open(pid, wanted) for table in ANY_IP if (wanted := found(pid, port, table)))


def _has_open(pid: int, wanted: Container[str]) -> bool:
    return any(name in wanted for one in group_with(pid) for _, name in open_files(one))


def _portably_holds(pid: int, port: int) -> bool:
    import psutil  # noqa: PLC0415 - only where there is no /proc

    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        ends = [end for process in family for end in process.net_connections("tcp")]
    except psutil.Error:
        return False
    return any(end.status == psutil.CONN_LISTEN and end.laddr.port == port for end in ends)
