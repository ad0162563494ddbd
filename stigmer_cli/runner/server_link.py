"""The runner's link to its server, which decides whether the runner may take up work.

    asking ──answers──▶ served ◀──answers── silent, refused, foreign
                          │
                          └──no valid answer for SERVED_MAX_S──▶ silent, refused, foreign

A runner that cannot report swallows what it takes up, and other runners could have performed it. So it polls only
while a server has shown, with a valid token and not long ago, which store it serves. The store's id says which task
queues that means. Another store than the one before is a new owner: what was taken up for the old one is handed back.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.clock import Clock, ahead_s, until_next_s
from stigmer_cli.errors import Refused, ServerUnproven, StigmerError, Unavailable
from stigmer_cli.fair_timeout import FairTimeout

ASK_EVERY_S, ASK_AGAIN_S = 0.75, 0.25
"""How often the server is asked while it answers, and once it has not."""

CALM_EVERY_S = 2.0
"""While it answers at once and the runner performs nothing: an answer counts for longer than that."""

AT_ONCE_S = 0.1

ASK_AT_FIRST_S = 0.03
"""Until the first answer: the server of the same stack is starting, and everything waits for it."""

SERVED_MAX_S = 2.5
"""For how long an answer counts."""

ANSWER_MIN_S = 0.5
"""What an answer may take at least, however little is left of `SERVED_MAX_S`."""


STARVED_TIMES = 3
"""A machine that gives this process no time makes answers look late: then they may take this much longer."""


class LinkState(StrEnum):
    """How the runner stands with its server; the words are shown by `status` and doctor."""

    ASKING = "asking"
    SERVED = "served"
    SILENT = "silent"
    REFUSED = "refused"
    FOREIGN = "foreign"


class IdentitySource(Protocol):
    """The server, as the link sees it."""

    async def identity(self, load: RunnerLoad | None = None) -> Identity:
        """Who it is; tells it `load`.

        Raises ServerUnavailable, Refused, or another StigmerError where it is no server of ours.
        """


@dataclass(frozen=True, kw_only=True)
class LinkStatus:
    """The link at one moment; `cause` is a sentence, empty while served. `server` is the last one that answered."""

    state: LinkState = LinkState.ASKING
    cause: str = ""
    server: Identity | None = None

    @property
    def is_served(self) -> bool:
        """Whether the runner may take up work."""
        return self.state is LinkState.SERVED


def state_of(error: StigmerError) -> LinkState:
    """What a failed question says about the other end."""
    match error:
        case Refused() | ServerUnproven():
            return LinkState.REFUSED
        case Unavailable():
            return LinkState.SILENT
        case _:
            return LinkState.FOREIGN


class ServerLink:
    """Asks the server at `url` who it is, for ever; `status` may be read at any time.

    `changes` counts the changes of state, store and task queues, and `wait_changed` returns after the next one.
    `load` says what the server is told with each question.
    `clock_ahead_s` is how far our wall clock is ahead of the server's, as the last answer showed.
    """

    def __init__(
        self, source: IdentitySource, *, url: str, clock: Clock, load: Callable[[], RunnerLoad | None] = lambda: None
    ) -> None:
        self.status = LinkStatus()
        self.changes = 0
        self._source, self._load = source, load
        self._url = url
        self._clock = clock
        self._answered_at = clock.monotonic()
        self.clock_ahead_s = 0.0
        self._changed = asyncio.Event()
        self._log = structlog.get_logger()

    @property
    def task_queues(self) -> Sequence[str]:
        """What the runner polls now; empty while no server answers."""
        status = self.status
        return status.server.task_queues if status.is_served and status.server else ()

    @property
    def silent_s(self) -> float:
        """For how long no valid answer has come, in seconds; 0.0 while served."""
        return 0.0 if self.status.is_served else self._clock.monotonic() - self._answered_at

    async def wait_changed(self, after: int) -> None:
        """Return once there have been more than `after` moves."""
        while self.changes <= after:
            await self._changed.wait()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            asked_s = self._clock.monotonic()
            is_answered = await self.run_once()
            took_s = self._clock.monotonic() - asked_s
            await self._clock.sleep(self._pause_s(is_answered=is_answered, took_s=took_s))

    def _pause_s(self, *, is_answered: bool, took_s: float) -> float:
        """How long until it is asked again."""
        if self.status.server is None:
            return ASK_AT_FIRST_S
        if not is_answered:
            return ASK_AGAIN_S
        load = self._load()
        is_calm = load is not None and not load.busy and took_s < AT_ONCE_S
        return until_next_s(CALM_EVERY_S, self._clock) if is_calm else ASK_EVERY_S

    async def run_once(self) -> bool:
        """Ask once, and judge the answer, or how long there has been none; whether there was one."""
        asked_at = self._clock.now()
        try:
            patience_s = self._patience_s()
            async with asyncio.timeout(patience_s * STARVED_TIMES), FairTimeout(patience_s):
                server = await self._source.identity(self._load())
        except TimeoutError:
            self._failed(LinkState.SILENT, f"the server at {self._url} does not answer in time")
        except StigmerError as error:
            self._failed(state_of(error), error.message)
        else:
            self._answered_at = self._clock.monotonic()
            self.clock_ahead_s = -ahead_s(server.now, asked_at=asked_at, answered_at=self._clock.now())
            self._move(LinkStatus(state=LinkState.SERVED, server=server))
            return True
        return False

    def _patience_s(self) -> float:
        """How long this answer may take: until the last one counts no more."""
        if not self.status.is_served:
            return SERVED_MAX_S
        return max(self._answered_at + SERVED_MAX_S - self._clock.monotonic(), ANSWER_MIN_S)

    def _failed(self, state: LinkState, cause: str) -> None:
        """No valid answer: that counts once the last valid one is too old, for servers are started again."""
        if self.status.is_served and self._clock.monotonic() - self._answered_at < SERVED_MAX_S:
            return
        if self.status.state is LinkState.ASKING and state is LinkState.SILENT:
            self._move(LinkStatus(state=LinkState.ASKING, cause=cause))
            return
        self._move(LinkStatus(state=state, cause=cause, server=self.status.server))

    def _move(self, to: LinkStatus) -> None:
        """The one place where the status changes; each change of state is logged once."""
        before, self.status = self.status, to
        if not (before.state is to.state and before.cause == to.cause and _means_the_same(before.server, to.server)):
            self._tell(before, to)
            self.changes += 1
            moved, self._changed = self._changed, asyncio.Event()
            moved.set()

    def _tell(self, before: LinkStatus, to: LinkStatus) -> None:
        if to.server is not None and before.server is not None and to.server.store_id != before.server.store_id:
            self._log.error(
                "server_of_another_store",
                server=self._url,
                store_before=before.server.store_id,
                store=to.server.store_id,
                next="what was taken up for the other store is handed back",
            )
        if to.is_served and to.server is not None:
            self._log.info(
                "runner_served",
                server=self._url,
                store=to.server.store_id,
                task_queues=list(to.server.task_queues),
                after=before.state,
            )
        elif before.state is not to.state or to.state is LinkState.ASKING:
            self._log.warning("runner_waiting", waits_for="server", state=to.state, cause=to.cause)


def _means_the_same(one: Identity | None, other: Identity | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.store_id == other.store_id and one.task_queues == other.task_queues
