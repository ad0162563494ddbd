"""A process that gets a share of a processor only, as on a busy machine, while the machine itself stays free."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PERIOD_S = 0.1


@contextmanager
def throttle_cpu(pid: int, *, share: float) -> Iterator[None]:
    """Let process `pid` run for `share` of the time, a tenth of a second at a time, until the end of the block."""
    ending = threading.Event()

    def control() -> None:
        while not ending.is_set():
            os.kill(pid, signal.SIGSTOP)
            ending.wait(PERIOD_S * (1 - share))
            os.kill(pid, signal.SIGCONT)
            ending.wait(PERIOD_S * share)

    def run() -> None:
        with suppress(ProcessLookupError):
            control()

    thread = threading.Thread(target=run, name="throttle", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
