"""The supervisor's process: reads its spec from standard input, says on standard output that it is ready, and stays."""

import asyncio
import contextlib
import json
import os
import sys
from typing import NoReturn

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import reason_of
from stigmer_cli.inherited_signals import reset_inherited_signals
from stigmer_cli.open_files import raise_files_limit
from stigmer_cli.supervisor.lock import FileLock
from stigmer_cli.supervisor.record import LOCK_FILE
from stigmer_cli.supervisor.spec import SupervisorSpec, spec_from_json
from stigmer_cli.supervisor.supervisor import Supervisor

HELD, BROKEN = 3, 1


def main() -> None:
    """Supervise until told to stop."""
    reset_inherited_signals()  # here, so that the children inherit nothing either
    raise_files_limit()
    os.umask(0o077)
    spec = spec_from_json(sys.stdin.buffer.read())
    _to_nowhere(sys.stdin.fileno())
    lock = FileLock(spec.folder / LOCK_FILE)
    try:
        if not lock.acquire():
            _give_up(HELD, f"another supervisor (pid {lock.holder()}) holds {lock.path}")
        asyncio.run(_supervise(spec, lock))
    except OSError as error:
        _give_up(BROKEN, reason_of(error))


async def _supervise(spec: SupervisorSpec, lock: FileLock) -> None:
    await Supervisor(spec, clock=SystemClock(), lock=lock).run(ready=lambda: _say({"ready": True, "pid": os.getpid()}))


def _say(answer: dict[str, object]) -> None:
    """Answer the process that started us, which may be gone, and close the pipe."""
    out = sys.stdout.fileno()
    with contextlib.suppress(OSError):
        os.write(out, json.dumps(answer).encode() + b"\n")
    _to_nowhere(out)


def _give_up(code: int, error: str) -> NoReturn:
    _say({"ready": False, "held": code == HELD, "error": error})
    sys.exit(code)


def _to_nowhere(fd: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, fd)
    os.close(nowhere)


main()
