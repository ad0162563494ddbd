"""Repairs what a dead supervisor left: its socket and its state files."""

from typing import TYPE_CHECKING

from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.repairs.fix import ActResult, Fix, done, left
from stigmer_cli.settings import Home
from stigmer_cli.stack.endpoints_file import STATE_FILE
from stigmer_cli.supervisor.lock import FileLock
from stigmer_cli.supervisor.record import LOCK_FILE, SOCKET, read_record
from stigmer_cli.supervisor.record import STATE_FILE as SUPERVISOR_FILE

if TYPE_CHECKING:
    from stigmer_cli.doctor.check import Judged
    from stigmer_cli.doctor.facts.facts import Facts


async def clear_the_dead(facts: "Facts", _: "Judged") -> ActResult:
    """Remove the socket and the state files of a supervisor that is proven dead."""
    return await in_thread(lambda: _clear(facts.settings.home))


def _clear(home: Home) -> ActResult:
    """Clean up under both locks: the supervisor's is free only when it is dead, and `up` cannot interfere."""
    from stigmer_cli.stack.down import UP_LOCK  # noqa: PLC0415 - for this repair only, and slow

    files = [home.run / name for name in (STATE_FILE, SUPERVISOR_FILE, SOCKET)]
    stale = [path for path in files if path.exists()]
    if not stale:
        return left("a dead supervisor left nothing behind; to start the stack: stigmer up")
    up_lock, lock = FileLock(home.run / UP_LOCK), FileLock(home.run / LOCK_FILE)
    try:
        if not up_lock.acquire():
            return left(f"a `stigmer up` or `down` (pid {up_lock.holder()}) is at work here")
        if not lock.acquire():
            return left(f"the supervisor lives (pid {lock.holder()}), and a process is never ended without asking")
        record = read_record(home.run)
        survivors = [child.id.pid for child in record.children if child.id and child.id.is_alive] if record else []
        if survivors:
            pids = ", ".join(map(str, survivors))
            return left(f"pid {pids} of the dead supervisor still run; `stigmer up` ends them and starts new ones")
        for path in (*stale, *home.run.glob("runner-*.json"), *home.run.glob("runner-*.sock")):
            path.unlink(missing_ok=True)
    finally:
        lock.release()
        up_lock.release()
    who = f"the supervisor (pid {record.id.pid})" if record else "a supervisor"
    return done(f"{who} had died; removed what it left: {', '.join(path.name for path in stale)}")


CLEAR_THE_DEAD = Fix(
    action="remove the socket and the state files that a dead supervisor left behind", act=clear_the_dead
)
