"""Takes the kernel's filter off a listening socket of another process, as if it had never been put there."""

import os
import socket
import struct
from pathlib import Path

from stigmer_cli.supervisor.pidfd import borrow_file, open_process

SO_DETACH_FILTER = 27


def detach(pid: int, port: int) -> None:
    """Let everybody connect to `port` of process `pid` again."""
    handle = open_process(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if str(entry.readlink()).startswith("socket:"):
                with socket.socket(fileno=borrow_file(handle, int(entry.name))) as one:
                    is_tcp = one.family == socket.AF_INET and one.type == socket.SOCK_STREAM
                    if (
                        is_tcp
                        and one.getsockname()[1] == port
                        and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    ):
                        one.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, struct.pack("i", 0))
                        return
    finally:
        os.close(handle)
    raise AssertionError(f"process {pid} does not listen on port {port}")
