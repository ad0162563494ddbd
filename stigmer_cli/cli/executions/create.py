"""Has an execution accepted once, however often that takes a try, and says which one, however it ends."""

import asyncio
import re
from dataclasses import dataclass

from ulid import ULID

from stigmer_cli.api.resources import ExecutionRequest, ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.retry import RETRY_MIN_S, Attempts, Retry, RetryPolicy, is_passing
from stigmer_cli.client import Client
from stigmer_cli.domain.identity import PREFIXES, ExecutionId, Kind
from stigmer_cli.errors import ConfigError, NotFound, NotRunning, StigmerError, Unavailable
from stigmer_cli.time_format import span

KEY = re.compile(r"[!-~]{1,200}")
"""What travels in a header, and what the server takes."""


@dataclass(frozen=True, kw_only=True)
class Creation:
    """What is asked for. `key` finds the same execution again; where nobody chose one it is the execution's own id."""

    request: ExecutionRequest
    id: ExecutionId
    key: str
    require_temporal: bool

    @property
    def name(self) -> str:
        """What a person knows it by before the server has answered."""
        return self.id if self.key == self.id else f"what has the idempotency key {self.key}"

    @property
    def look(self) -> str:
        """How to find out what became of it."""
        again = f"the same command with --idempotency-key {self.key} finds it again, and makes no second one"
        return f"stigmer executions get {self.id}; {again}" if self.key == self.id else again


def creation(request: ExecutionRequest, *, key: str | None, require_temporal: bool) -> Creation:
    """`request` under an id of its own, and under `key` if there is one; raises ConfigError for a key that is none."""
    if key is not None and not KEY.fullmatch(key):
        raise ConfigError(
            "an idempotency key is 1 to 200 printable ASCII characters without spaces", hint="stigmer run --help"
        )
    new = ExecutionId(f"{PREFIXES[Kind.AGENT]}-{str(ULID()).lower()}")
    named = request.model_copy(update={"id": new})
    return Creation(request=named, id=new, key=key or new, require_temporal=require_temporal)


async def create(cli: Cli, client: Client, wanted: Creation, *, timeout_s: float | None) -> ExecutionResource:
    """The execution, accepted once; tried again for `timeout_s` seconds, and for RETRY_MIN_S at the least.

    Raises Unavailable, with the id and how to look, where the server did not answer in that time, and NotRunning at
    once where the stack is plainly down. Where this is interrupted, it says what may have become of it.
    """
    retry = Retry(cli=cli, policy=RetryPolicy(for_s=max(timeout_s or 0.0, RETRY_MIN_S)))
    retry.told = lambda error: cli.out.note(
        f"{error.message}; trying again for {span(retry.policy.for_s)} to have {wanted.name} accepted"
    )
    try:
        return await retry.ask(
            lambda: client.create_execution(
                wanted.request, idempotency_key=wanted.key, require_temporal=wanted.require_temporal
            )
        )
    except NotFound as error:
        raise NotFound(error.message, hint="stigmer agents list; stigmer apply -f FILE creates one") from error
    except asyncio.CancelledError:
        cli.out.note(_became(wanted, retry.attempts))
        raise
    except StigmerError as error:
        raise _lost(wanted, error, retry.attempts) from error


def _became(wanted: Creation, attempts: Attempts) -> str:
    if attempts.may_have_counted or attempts.is_in_flight:
        return f"{wanted.name} may have been accepted; {wanted.look}"
    return f"{wanted.name} was not accepted: the server was not reached"


def _lost(wanted: Creation, error: StigmerError, attempts: Attempts) -> StigmerError:
    """`error` with what is known about the execution, as far as that is in doubt."""
    if is_passing(error):
        doubt = "may have been accepted" if attempts.may_have_counted else "was not accepted"
        return Unavailable(f"{error.message}; tried {attempts.tries} times; {wanted.name} {doubt}", hint=wanted.look)
    if not attempts.may_have_counted:
        return error
    if isinstance(error, NotRunning):
        return NotRunning(
            f"{error.message}; {wanted.name} may have been accepted", hint=f"{error.hint}; then {wanted.look}"
        )
    error.hint = f"{error.hint}; an earlier try may have been accepted: {wanted.look}"
    return error
