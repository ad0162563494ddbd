"""Closes listening ports of a child to everybody who does not connect from one source address; Linux only.

A page in a browser cannot choose where it connects from. The kernel's packet filter (SO_ATTACH_FILTER, socket(7)) sits
on the child's own listening socket, which this process borrows (pidfd_getfd(2), Linux 5.6): a parent may, without
privileges. What the filter drops gets no answer at all, and the child does not notice.
"""

import ctypes
import ipaddress
import itertools
import os
import socket
import struct
from collections.abc import Callable

from stigmer_cli.clock import Clock
from stigmer_cli.errors import reason_of
from stigmer_cli.supervisor.child import Child
from stigmer_cli.supervisor.control import Changes
from stigmer_cli.supervisor.pidfd import borrow_file, open_process
from stigmer_cli.supervisor.process import Process
from stigmer_cli.supervisor.sockets import IPV4, group_with, listening_sockets, open_files
from stigmer_cli.supervisor.spec import SourceFilter

LOOPBACK = "127.0.0.1"
LOOK_EVERY_S = 0.01
TABLE_EVERY = 10
"""At each so many looks the kernel's table is read in any case: it takes milliseconds, and a try to connect does not.

A child may listen at an address at which nobody tries to connect.
"""

KNOCK_MAX_S = 0.01
LISTENING_MAX_S = 60.0
"""How long after its start a child may take to listen; a filter that is not in place then is given up."""

SO_ATTACH_FILTER = 26

LOAD_SOURCE = (0x20, 0, 0, 0xFFF00000 + 12)
"""BPF_LD|BPF_W|BPF_ABS at SKF_NET_OFF + 12: the source address in the IPv4 header."""
JUMP_IF_EQUAL, RETURN = 0x15, 0x06
WHOLE, NOTHING = 0xFFFFFFFF, 0


class FilterWatch:
    """Puts the filter of one child onto its ports each time that it starts. `tell` is called with the result."""

    def __init__(self, child: Child, *, changes: Changes, clock: Clock, tell: Callable[[str, int, str], None]) -> None:
        self._child, self._changes, self._clock, self._tell = child, changes, clock, tell

    async def run(self) -> None:
        """Attach filters until cancelled."""
        done: Process | None = None
        seen = -1
        while True:
            seen = await self._changes.after(seen)
            process, wanted = self._child.process, self._child.spec.source_filter
            if process is None or process is done or wanted is None:
                continue
            done = process
            await self._attach_all(process, wanted)

    async def _attach_all(self, process: Process, wanted: SourceFilter) -> None:
        open_ports = set(wanted.ports)
        deadline = self._clock.monotonic() + LISTENING_MAX_S
        looks = itertools.count()
        while open_ports and process.code is None and self._clock.monotonic() < deadline:
            try:
                if next(looks) % TABLE_EVERY == 0 or is_any_open(open_ports, wanted.source):
                    open_ports -= close_ports(process.id.pid, open_ports, source=wanted.source)
            except OSError as error:
                self._tell(self._child.spec.name, process.id.pid, reason_of(error))
                return
            await self._clock.sleep(LOOK_EVERY_S)
        if not open_ports:
            self._tell(self._child.spec.name, process.id.pid, "")


def is_any_open(ports: set[int], source: str) -> bool:
    """Whether somebody listens on one of `ports` of loopback, or of `source`, which is Temporal's address for its UI.

    Never asked of a port with a filter, which does not answer.
    """
    return any(_accepts_connections(address, port) for port in ports for address in {LOOPBACK, source})


def _accepts_connections(address: str, port: int) -> bool:
    with socket.socket() as knocking:
        knocking.settimeout(KNOCK_MAX_S)
        return knocking.connect_ex((address, port)) == 0


def close_ports(pid: int, ports: set[int], *, source: str) -> set[int]:
    """Put the filter on those of `ports` on which `pid`, or its group, listens now; returns them.

    Raises OSError where the kernel does not let us: too old, or a container's rules.
    """
    inodes = {name: port for name, port in listening_sockets(pid, IPV4) if port in ports}
    closed: set[int] = set()
    if not inodes:
        return closed
    for holder in group_with(pid):
        for number, name in open_files(holder):
            if name in inodes and inodes[name] not in closed:
                _attach(holder, number, source)
                closed.add(inodes[name])
        if len(closed) == len(inodes):
            break
    return closed


def _attach(pid: int, number: int, source: str) -> None:
    handle = open_process(pid)
    try:
        borrowed = borrow_file(handle, number)
    finally:
        os.close(handle)
    with socket.socket(fileno=borrowed) as listener:
        instructions = (
            LOAD_SOURCE,
            (JUMP_IF_EQUAL, 0, 1, _number(source)),
            (RETURN, 0, 0, WHOLE),
            (RETURN, 0, 0, NOTHING),
        )
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in instructions))
        head = struct.pack("HL", len(instructions), ctypes.addressof(program))
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, head)


def _number(address: str) -> int:
    return int(ipaddress.IPv4Address(address))
