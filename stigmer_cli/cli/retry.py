"""Retries a write while the server or its database is unavailable: a policy, and the loop around the call.

The write is idempotent, by its nature or by its key: it is done once, however many tries arrive.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from stigmer_cli.backoff import Backoff
from stigmer_cli.cli.context import Cli
from stigmer_cli.errors import NotRunning, ServerUnavailable, StigmerError, TemporalUnavailable, Unavailable
from stigmer_cli.time_format import span

if TYPE_CHECKING:
    from stigmer_cli.client import Client

T = TypeVar("T")

RETRY_MIN_S = 15.0
"""A killed server is back in about a second, a PostgreSQL that recovers in several."""

RETRY_BACKOFF = Backoff(initial_s=0.1, factor=1.6, cap_s=1.0)
TRY_MIN_S = 1.0
SPREAD = 0.25
"""Of what the server asked for."""

LOOK_AGAIN_S = 0.25


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """For how long a write is retried, in seconds, and with which delays."""

    for_s: float = RETRY_MIN_S
    backoff: Backoff = RETRY_BACKOFF

    def delay_s(self, error: StigmerError, *, tries: int, left_s: float, rng: random.Random) -> float | None:
        """Seconds to wait after `tries` failed with `error`; None if another try is pointless or would come too late.

        It is at least what the server asked for (Retry-After), and up to `SPREAD` more: those who were refused together
        do not come again together.
        """
        if not is_transient(error) or not isinstance(error, Unavailable):
            return None
        least_s = max(self.backoff.delay_s(tries, rng), error.retry_after_s)
        most_s = max(least_s, min(error.retry_after_s * (1.0 + SPREAD), left_s - TRY_MIN_S))
        return rng.uniform(least_s, most_s) if least_s < left_s else None


def is_transient(error: StigmerError) -> bool:
    """Whether the next try may succeed.

    TemporalUnavailable does not count: a client that requires Temporal was promised that nothing is written.
    """
    return isinstance(error, Unavailable) and not isinstance(error, TemporalUnavailable)


@dataclass(kw_only=True)
class Attempts:
    """The tries so far. `may_have_counted`: one may have reached the store although its answer was lost."""

    tries: int = 0
    may_have_counted: bool = False
    is_in_flight: bool = False


@dataclass(kw_only=True)
class Retry:
    """Repeats a call until it is answered or the policy gives up. `on_first_failure` gets the first error."""

    cli: Cli
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    on_first_failure: Callable[[StigmerError], None] = field(default=lambda _: None)
    attempts: Attempts = field(default_factory=Attempts)
    rng: random.Random = field(default_factory=random.Random)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises what the last try raised, and NotRunning at once if the stack is down."""
        deadline = self.cli.clock.monotonic() + self.policy.for_s
        while True:
            left_s = deadline - self.cli.clock.monotonic()
            try:
                return await self._try_once(call, max(left_s, TRY_MIN_S))
            except Unavailable as error:
                await self._raise_if_stopped(error)
                left_s = deadline - self.cli.clock.monotonic()
                delay_s = self.policy.delay_s(error, tries=self.attempts.tries, left_s=left_s, rng=self.rng)
                if delay_s is None:
                    raise
                if self.attempts.tries == 1:
                    self.on_first_failure(error)
            await self.cli.clock.sleep(delay_s)

    async def _try_once(self, call: Callable[[], Awaitable[T]], within_s: float) -> T:
        self.attempts.tries += 1
        self.attempts.is_in_flight = True
        try:
            async with asyncio.timeout(within_s):
                answer = await call()
        except TimeoutError:
            self.attempts.may_have_counted, self.attempts.is_in_flight = True, False
            raise ServerUnavailable("the server did not answer in time", retry_after_s=0.0) from None
        except Unavailable as error:
            self.attempts.may_have_counted |= error.may_have_counted
            self.attempts.is_in_flight = False
            raise
        self.attempts.is_in_flight = False
        return answer

    async def _raise_if_stopped(self, error: Unavailable) -> None:
        """Raise the cause that is found on this machine, if it shows that no server will come.

        After the first try, look twice: the stack ran then, and while it restarts it is down for a moment.
        """
        if not isinstance(error, ServerUnavailable):
            return
        told = self.cli.explain(error)
        if told is not error and isinstance(told, NotRunning) and self.attempts.tries > 1:
            await self.cli.clock.sleep(LOOK_AGAIN_S)
            told = self.cli.explain(error)
        if told is not error:
            raise told from error


def call_with_retry(cli: Cli, ask: "Callable[[Client], Awaitable[T]]") -> T:
    """The answer to an idempotent write, retried while the server is unavailable; raises what the last try raised."""

    async def ask_with_retry(client: "Client") -> T:
        retry = Retry(cli=cli)
        retry.on_first_failure = lambda error: cli.out.note(
            f"{error.message}; trying again for {span(retry.policy.for_s)}"
        )
        return await retry.ask(lambda: ask(client))

    return cli.call(ask_with_retry)
