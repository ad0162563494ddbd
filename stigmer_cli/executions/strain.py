"""Strain: submits fail through no fault of an execution's own, from the first of them until many have gone well."""

from dataclasses import dataclass
from datetime import datetime

from stigmer_cli.clock import Clock
from stigmer_cli.executions.congestion_window import WIDTH_MAX
from stigmer_cli.executions.submitter import Answer, Failed


@dataclass(frozen=True, kw_only=True)
class Strain:
    """Submits have been failing since `since`, last with `cause`."""

    since: datetime
    cause: str


class StrainWatch:
    """Hears of every answer. One that goes well proves little while `WIDTH_MAX` others are under way."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._calm = 0
        self.now: Strain | None = None

    def record(self, answer: Answer) -> None:
        """Temporal has answered one submit."""
        if isinstance(answer, Failed) and answer.is_strain:
            since = self.now.since if self.now else self._clock.now()
            self.now, self._calm = Strain(since=since, cause=answer.error.message), 0
            return
        self._calm += 1
        if self._calm > WIDTH_MAX:
            self.now = None

    def clear(self) -> None:
        """All that was due has been submitted, or nothing is."""
        self.now = None
