"""Whether a part holds its own port: another process may answer there."""

import os
import socket

from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.parts import LOOPBACK
from stigmer_cli.supervisor.process import IS_LINUX
from stigmer_cli.supervisor.record import SupervisorRecord
from stigmer_cli.supervisor.sockets import ANY_IP, group_with, listening_sockets, open_files

CONNECT_MAX_S = 0.2


def find_parts_missing_ports(record: SupervisorRecord, found: Endpoints) -> dict[str, int]:
    """The running parts that do not hold one of their ports, each with the first such port.

    Empty if the processes of the stack are not visible from here.
    """
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
        return any(at == port for _, at in listening_sockets(os.getpid(), ANY_IP))
    return accepts_connections(port)


def accepts_connections(port: int) -> bool:
    """Whether somebody accepts connections to `port` of loopback: costs next to nothing, and does not say who."""
    with socket.socket() as probe:
        probe.settimeout(CONNECT_MAX_S)
        return probe.connect_ex((LOOPBACK, port)) == 0


def holds(pid: int, port: int) -> bool:
    """Whether process `pid`, or one in the group that it leads, listens on `port`."""
    if not IS_LINUX:
        return _portably_holds(pid, port)
    wanted = {name for name, at in listening_sockets(pid, ANY_IP) if at == port}
    return bool(wanted) and any(name in wanted for one in group_with(pid) for _, name in open_files(one))


def _portably_holds(pid: int, port: int) -> bool:
    import psutil  # noqa: PLC0415 - only where there is no /proc

    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        ends = [end for process in family for end in process.net_connections("tcp")]
    except psutil.Error:
        return False
    return any(end.status == psutil.CONN_LISTEN and end.laddr.port == port for end in ends)
