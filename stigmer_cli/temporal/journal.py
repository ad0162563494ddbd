"""The connection's transitions: a bounded history of them, and log lines that flapping cannot flood."""

from collections import deque
from datetime import datetime

import structlog

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import Clock, iso
from stigmer_cli.temporal.state import Change
from stigmer_cli.temporal.target import Target

HISTORY_MAX = 50
LINES_MAX = 20
WINDOW_S = 60.0
"""At most LINES_MAX lines in WINDOW_S seconds; the next line after that says how many were left out.

The last one of a flood is written as soon as there is room, or the log would end on a state that is over.
"""

LEVELS: dict[ConnectionState, str] = {
    ConnectionState.CONNECTING: "info",
    ConnectionState.CONNECTED: "info",
    ConnectionState.SUSPECT: "warning",
    ConnectionState.DISCONNECTED: "warning",
    ConnectionState.MISCONFIGURED: "error",
    ConnectionState.STOPPED: "info",
}


class Journal:
    """The last transitions, and one log line for each as long as there are few."""

    def __init__(self, target: Target, *, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._history: deque[Change] = deque(maxlen=HISTORY_MAX)
        self._written: deque[float] = deque(maxlen=LINES_MAX)
        self._left_out = 0
        self._log = structlog.get_logger()

    def history(self) -> tuple[Change, ...]:
        """The last transitions, newest last."""
        return tuple(self._history)

    def record_change(self, change: Change, *, attempt: int, next_try_at: datetime | None) -> None:
        """Remember a transition and write its line."""
        self._history.append(change)
        tried = {"attempt": attempt, "next_try_at": iso(next_try_at) if next_try_at else None}
        if self._has_room():
            self._write(change, **tried)
        else:
            self._left_out += 1

    def write_left_out(self) -> None:
        """The state stayed: log the last of the transitions that were left out, if there is room again."""
        if self._left_out and self._has_room():
            self._left_out -= 1
            self._write(last := self._history[-1], happened_at=iso(last.at))

    def _write(self, change: Change, **more: object) -> None:
        left_out = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        getattr(self._log, LEVELS[change.after])(
            "temporal_connection_changed",
            **{"from": str(change.before), "to": str(change.after)},
            cause=change.cause,
            address=self._target.address,
            namespace=self._target.namespace,
            **more,
            **left_out,
        )

    def record_new_files(self, why_not: str) -> None:
        """Files of the target changed, and were taken over; `why_not` says why they were not."""
        if why_not:
            self._log.warning("temporal_files_not_taken", cause=why_not, address=self._target.address)
        else:
            self._log.info("temporal_files_taken", address=self._target.address)

    def record_failed_call(self, cause: str) -> None:
        """A call said that the connection is broken; the probe that follows decides."""
        self._log.debug("temporal_call_failed", cause=cause, address=self._target.address)

    def _has_room(self) -> bool:
        now = self._clock.monotonic()
        if len(self._written) == LINES_MAX and now - self._written[0] < WINDOW_S:
            return False
        self._written.append(now)
        return True
