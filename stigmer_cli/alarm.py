"""An alarm that wakes a thread once, some time after it was set: it costs nothing while it is not set."""

import ctypes
import os
import sys
import time
from typing import Protocol

NEVER_S = 0.0
"""Takes an alarm back."""

STEADY_S = 0.05
NANOSECONDS = 1e9


class Alarm(Protocol):
    """What one thread sets, and another one waits for."""

    def set(self, after_s: float) -> None:
        """Go off once after so many seconds, instead of at the time that was set before; `NEVER_S`: not at all."""

    def wait(self) -> None:
        """Return when it has gone off."""

    def close(self) -> None:
        """Free what the system keeps of it. Nobody may wait any more."""


def make_alarm() -> Alarm:
    """A timer of the kernel on Linux, elsewhere one that goes off all the time; raises OSError."""
    return KernelAlarm() if sys.platform == "linux" else SteadyAlarm()


class SteadyAlarm:
    """Goes off every `STEADY_S`, whether or not it was set: for systems without a timer that a thread can wait for."""

    def set(self, after_s: float) -> None:
        """Change nothing."""

    def wait(self) -> None:
        """Return after `STEADY_S`."""
        time.sleep(STEADY_S)

    def close(self) -> None:
        """Free nothing."""


class _TimerSpec(ctypes.Structure):
    """struct itimerspec: the interval and the time until the next expiry, each in seconds and nanoseconds."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "after_s", "after_ns")]


class KernelAlarm:
    """timerfd_create(2), by ctypes: Python has it since 3.13. Setting it takes a microsecond."""

    def __init__(self) -> None:
        """Not set; raises OSError."""
        system = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock, since neither call blocks
        self._settime = system.timerfd_settime
        self._file: int = system.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, after_s: float) -> None:
        """Go off once after so many seconds."""
        seconds = int(after_s)
        spec = _TimerSpec(0, 0, seconds, int((after_s - seconds) * NANOSECONDS))
        self._settime(self._file, 0, ctypes.byref(spec), None)

    def wait(self) -> None:
        """Return when it has gone off."""
        os.read(self._file, 8)

    def close(self) -> None:
        """Close the timer."""
        os.close(self._file)
