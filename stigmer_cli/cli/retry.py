"""Tries a write again while the server or its database is away for a moment: a policy, and the loop around the call.

What is tried again is idempotent, by its nature or by its key, so that however many tries arrive, it is done once.
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
"""A server that is killed is back in about a second, a PostgreSQL that recovers in several."""

AGAIN = Backoff(initial_s=0.1, factor=1.6, cap_s=1.0)
TRY_MIN_S = 1.0
LOOK_AGAIN_S = 0.25


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """For how long a write is tried again, in seconds, and how fast."""

    for_s: float = RETRY_MIN_S
    backoff: Backoff = AGAIN

    def delay_s(self, error: StigmerError, *, tries: int, left_s: float, rng: random.Random) -> float | None:
        """How long to wait after `tries` failed with `error`; None where another try makes no sense, or comes too late.

        What the server said about when to come back (Retry-After) is kept to.
        """
        if not is_passing(error) or not isinstance(error, Unavailable):
            return None
        delay_s = max(self.backoff.delay_s(tries, rng), error.retry_after_s)
        return delay_s if delay_s < left_s else None


def is_passing(error: StigmerError) -> bool:
    """Whether `error` may be gone at the next try.

    A Temporal that is away is none of these: whoever insists on it was promised that nothing is written.
    """
    return isinstance(error, Unavailable) and not isinstance(error, TemporalUnavailable)


@dataclass(kw_only=True)
class Attempts:
    """What became of the tries so far. `may_have_counted` once one may have reached the store without our knowing."""

    tries: int = 0
    may_have_counted: bool = False
    is_in_flight: bool = False


@dataclass(kw_only=True)
class Retry:
    """Asks until it is answered, or the policy gives up. `told` is called with the first failure."""

    cli: Cli
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    told: Callable[[StigmerError], None] = field(default=lambda _: None)
    attempts: Attempts = field(default_factory=Attempts)
    rng: random.Random = field(default_factory=random.Random)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises what the last try raised, and NotRunning at once where the stack is plainly down."""
        deadline = self.cli.clock.monotonic() + self.policy.for_s
        while True:
            left_s = deadline - self.cli.clock.monotonic()
            try:
                return await self._tried(call, max(left_s, TRY_MIN_S))
            except Unavailable as error:
                await self._refuse_hopeless(error)
                left_s = deadline - self.cli.clock.monotonic()
                delay_s = self.policy.delay_s(error, tries=self.attempts.tries, left_s=left_s, rng=self.rng)
                if delay_s is None:
                    raise
                if self.attempts.tries == 1:
                    self.told(error)
            await self.cli.clock.sleep(delay_s)

    async def _tried(self, call: Callable[[], Awaitable[T]], within_s: float) -> T:
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

    async def _refuse_hopeless(self, error: Unavailable) -> None:
        """Raise what the machine itself says where it says that no server will come.

        Asked twice where something ran a moment ago: a stack that is started anew is down in between.
        """
        if not isinstance(error, ServerUnavailable):
            return
        told = self.cli.explain(error)
        if told is not error and isinstance(told, NotRunning) and self.attempts.tries > 1:
            await self.cli.clock.sleep(LOOK_AGAIN_S)
            told = self.cli.explain(error)
        if told is not error:
            raise told from error


def insist(cli: Cli, ask: "Callable[[Client], Awaitable[T]]") -> T:
    """The answer to an idempotent write, tried again while the server is away; raises what the last try raised."""

    async def asked(client: "Client") -> T:
        retry = Retry(cli=cli)
        retry.told = lambda error: cli.out.note(f"{error.message}; trying again for {span(retry.policy.for_s)}")
        return await retry.ask(lambda: ask(client))

    return cli.call(asked)
