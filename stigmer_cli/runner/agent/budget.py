"""What one execution may still use: asked before each turn and each call that is not recorded.

What is recorded counts as the server has summed it up, over all attempts, runs and epochs. A limit is as exact as one
step: the turn that goes beyond it is the last one, and its answer counts.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from stigmer_cli.api.agent_tools import LimitsBody
from stigmer_cli.api.usage import UsageBody, UsedBody
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.runner.waits import Exhausted
from stigmer_cli.time_format import span

TURNS_MAX = 200
"""How many turns an execution takes whose agent does not say; each is a request that costs money."""


class LimitReached(Exhausted):
    """A limit is used up; `name` is which, as `spec.limits` has it."""

    code = "limit-reached"

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(WaitFor.LIMIT, f"{message} (spec.limits.{name})")
        self.name = name


class Budget:
    """The limits of one execution, and what it has used."""

    def __init__(self, limits: LimitsBody | None, used: UsedBody | None, *, clock: Clock) -> None:
        """`used` is what the server has counted when the attempt began; None: nothing."""
        self._limits = limits or LimitsBody.model_construct()
        self._clock = clock
        self._turns = used.turns if used else 0
        self._calls = used.tool_calls if used else 0
        self._seconds = used.seconds if used else 0.0
        self._tokens = used.input_tokens + used.output_tokens if used else 0
        self._cost = used.cost if used else 0.0

    @property
    def is_in_money(self) -> bool:
        """Whether money is limited, so that the price of the model has to be known."""
        return self._limits.money is not None

    def admit_turn(self) -> None:
        """Have one more turn begin; raises LimitReached."""
        self._check_all()
        most = self._limits.turns or TURNS_MAX
        if self._turns >= most:
            raise LimitReached(f"the model has not ended its work after {most} turns, its limit", name="turns")
        self._turns += 1

    def admit_call(self) -> None:
        """Have one more call of a tool begin; raises LimitReached."""
        self._check_all()
        most = self._limits.tool_calls
        if most is not None and self._calls >= most:
            raise LimitReached(f"the model wants more than {most} calls of tools, its limit", name="toolCalls")
        self._calls += 1

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count the time that a turn or a call takes."""
        began_s = self._clock.monotonic()
        try:
            yield
        finally:
            self._seconds += self._clock.monotonic() - began_s

    def count(self, usage: UsageBody | TokenUsage | None) -> None:
        """Count what a turn used; None: its provider has not said."""
        if usage is None:
            return
        self._tokens += usage.input_tokens + usage.output_tokens
        self._cost = None if usage.cost is None or self._cost is None else self._cost + usage.cost

    def _check_all(self) -> None:
        limits = self._limits
        if limits.tokens is not None and self._tokens >= limits.tokens:
            words = f"it has used {self._tokens:,} tokens, and its limit is {limits.tokens:,}"
            raise LimitReached(words, name="tokens")
        if limits.seconds is not None and self._seconds >= limits.seconds:
            words = f"it has worked for {span(self._seconds)}, and its limit is {span(limits.seconds)}"
            raise LimitReached(words, name="seconds")
        if limits.money is None:
            return
        if self._cost is None:
            words = "the price of what it has used is not known, and only --limit money=none goes on from here"
            raise LimitReached(words, name="money")
        if self._cost >= limits.money:
            raise LimitReached(f"it has cost ${self._cost:.4f}, and its limit is ${limits.money:g}", name="money")
