"""A lock that is held by a command which was stopped by Ctrl-Z."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import TimedOut
from stigmer_cli.supervisor.lock import held
from tests.support.freezing import freeze


async def hold(path: Path) -> None:
    async with held(path, within_s=0, clock=SystemClock()):
        pass


def test_who_waits_for_a_command_that_was_stopped_is_told_how_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    holds = "import sys, time; from pathlib import Path; from stigmer_cli.supervisor.lock import FileLock\n"
    holds += "lock = FileLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", holds, path], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            freeze(holder.pid)
            with pytest.raises(TimedOut, match="that one was stopped, as by Ctrl-Z") as caught:
                asyncio.run(hold(path))
            assert caught.value.hint == f"kill -CONT {holder.pid}"
        finally:
            holder.kill()
