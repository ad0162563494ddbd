"""Creates an execution exactly once, with retries, and names it in every error."""

import asyncio
import re
from dataclasses import dataclass

from ulid import ULID

from stigmer_cli.api.resources import ExecutionRequest, ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.run_target import explain_unknown
from stigmer_cli.cli.retry import RETRY_MIN_S, Attempts, Retry, RetryPolicy, is_transient
from stigmer_cli.client import Client
from stigmer_cli.domain.identity import PREFIXES, ExecutionId, Kind
from stigmer_cli.errors import ConfigError, NotFound, NotRunning, ServerBusy, StigmerError, Unavailable
from stigmer_cli.time_format import span

KEY = re.compile(r"[!-~]{1,200}")
"""What a header can carry and the server accepts."""


@dataclass(frozen=True, kw_only=True)
class Creation:
    """A request to create an execution. `key` finds the same one again; by default it is the execution's id."""

    request: ExecutionRequest
    id: ExecutionId
    key: str
    require_temporal: bool

    @property
    def name(self) -> str:
        """How messages name it before the server has answered."""
        return self.id if self.key == self.id else f"what has the idempotency key {self.key}"

    @property
    def look(self) -> str:
        """What to type to find out whether it exists."""
        again = f"the same command with --idempotency-key {self.key} finds it again, and makes no second one"
        return f"stigmer executions get {self.id}; {again}" if self.key == self.id else again


def make_creation(request: ExecutionRequest, *, key: str | None, require_temporal: bool) -> Creation:
    """`request` with a new id, and with `key` if there is one; raises ConfigError for an invalid key."""
    if key is not None and not KEY.fullmatch(key):
        raise ConfigError(
            "an idempotency key is 1 to 200 printable ASCII characters without spaces", hint="stigmer run --help"
        )
    kind = Kind.WORKFLOW if request.workflow else Kind.AGENT
    new = ExecutionId(f"{PREFIXES[kind]}-{str(ULID()).lower()}")
    named = request.model_copy(update={"id": new})
    return Creation(request=named, id=new, key=key or new, require_temporal=require_temporal)


async def create(cli: Cli, client: Client, wanted: Creation, *, timeout_s: float | None) -> ExecutionResource:
    """The accepted execution; retried for `timeout_s` seconds, at least for RETRY_MIN_S.

    Raises Unavailable, with the id and what to type, if the server does not answer in that time, NotRunning at once if
    the stack is down, and NotFound for an unknown name. If interrupted, prints whether it may have been accepted.
    """
    retry = Retry(cli=cli, policy=RetryPolicy(for_s=max(timeout_s or 0.0, RETRY_MIN_S)))
    retry.on_first_failure = lambda error: cli.out.note(
        f"{error.message}; trying again for {span(retry.policy.for_s)} to have {wanted.name} accepted"
    )
    try:
        return await retry.ask(
            lambda: client.create_execution(
                wanted.request, idempotency_key=wanted.key, require_temporal=wanted.require_temporal
            )
        )
    except NotFound as error:
        if wanted.request.fork is not None:
            raise  # it names the execution or the step
        request = wanted.request
        kind = Kind.WORKFLOW if request.workflow else Kind.AGENT
        raise await explain_unknown(client, request.workflow or request.agent, kind) from error
    except asyncio.CancelledError:
        cli.out.note(_describe_outcome(wanted, retry.attempts))
        raise
    except StigmerError as error:
        raise _add_doubt(wanted, error, retry.attempts) from error


def _describe_outcome(wanted: Creation, attempts: Attempts) -> str:
    if attempts.may_have_counted or attempts.is_in_flight:
        return f"{wanted.name} may have been accepted; {wanted.look}"
    return f"{wanted.name} was not accepted: the server was not reached"


def _add_doubt(wanted: Creation, error: StigmerError, attempts: Attempts) -> StigmerError:
    """`error`, which says that the execution may have been accepted if that is in doubt."""
    if isinstance(error, Unavailable) and is_transient(error):
        doubt = "may have been accepted" if attempts.may_have_counted else "was not accepted"
        tried = "tried once" if attempts.tries == 1 else f"tried {attempts.tries} times"
        message, after_s = f"{error.message}; {tried}; {wanted.name} {doubt}", error.retry_after_s
        if isinstance(error, ServerBusy) and not attempts.may_have_counted:
            again = f"the same command again in {span(after_s)}; a longer --timeout keeps asking"
            return ServerBusy(message, hint=again, retry_after_s=after_s)
        hint = wanted.look if attempts.may_have_counted else f"{error.hint}; then the same command again"
        return Unavailable(message, hint=hint, retry_after_s=after_s)
    if not attempts.may_have_counted:
        return error
    if isinstance(error, NotRunning):
        return NotRunning(
            f"{error.message}; {wanted.name} may have been accepted", hint=f"{error.hint}; then {wanted.look}"
        )
    error.hint = f"{error.hint}; an earlier try may have been accepted: {wanted.look}"
    return error
