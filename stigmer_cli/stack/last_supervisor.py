"""The supervisor that a home has, or had last: why it does not answer, and the end of what it left."""

from stigmer_cli.clock import Clock
from stigmer_cli.errors import MachineError, reason_of
from stigmer_cli.settings import Home
from stigmer_cli.stack.standstill import FROZEN, STATES
from stigmer_cli.supervisor.lock import FileLock
from stigmer_cli.supervisor.process import run_state
from stigmer_cli.supervisor.record import LOCK_FILE, read_record
from stigmer_cli.supervisor.supervisor import end_survivors

STOPPING_MAX_S = 10.0
LOOK_EVERY_S = 0.02


def explain_silence(home: Home) -> MachineError:
    """The error to raise where the supervisor of `home` lives, and does not answer."""
    record = read_record(home.run)
    who = f" (pid {record.id.pid})" if record else ""
    if record and STATES.get(run_state(record.id.pid) or "") == FROZEN:
        message = f"the supervisor{who} of {home.path} is {FROZEN}"
        return MachineError(message, hint=f"kill -CONT {record.id.pid}, or stigmer down")
    return MachineError(f"the supervisor{who} of {home.path} runs but does not answer", hint="stigmer down")


def is_stopping(home: Home) -> bool:
    """Whether the supervisor of `home` has written down that it stops, or did so before it ended."""
    record = read_record(home.run)
    return record is not None and record.is_stopping


async def clear_the_dead(home: Home, clock: Clock) -> None:
    """End what a dead supervisor left; raises MachineError where it is not dead.

    One that stops has closed its socket before it ends, on a busy machine long before: it has `STOPPING_MAX_S` seconds.
    """
    lock, deadline = FileLock(home.run / LOCK_FILE), clock.monotonic() + STOPPING_MAX_S
    try:
        while not lock.acquire():
            if not is_stopping(home) or clock.monotonic() >= deadline:
                raise explain_silence(home)
            await clock.sleep(LOOK_EVERY_S)
        record = read_record(home.run)
        await end_survivors([child.id for child in record.children if child.id] if record else [], clock=clock)
    except OSError as error:
        raise MachineError(
            f"cannot use {lock.path}: {reason_of(error)}", hint="free space, or make it writable"
        ) from error
    finally:
        lock.release()
