"""What a person reads whose execution was not accepted: whether it may have been, and what to do."""

import pytest

from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.cli.executions.create import _add_doubt, make_creation
from stigmer_cli.cli.retry import Attempts
from stigmer_cli.errors import ServerBusy, ServerUnavailable, StigmerError

WANTED = make_creation(ExecutionRequest(agent="greeter", message="hello"), key="k", require_temporal=False)
NAME = "what has the idempotency key k"


@pytest.mark.parametrize(
    ("error", "attempts", "code", "message", "hint"),
    [
        (
            ServerBusy("the stack takes no more", retry_after_s=4.5),
            Attempts(tries=3),
            "server-busy",
            f"the stack takes no more; tried 3 times; {NAME} was not accepted",
            "the same command again in 4.5s; a longer --timeout keeps asking",
        ),
        (
            ServerBusy("the stack takes no more"),
            Attempts(tries=2, may_have_counted=True),
            "unavailable",
            f"the stack takes no more; tried 2 times; {NAME} may have been accepted",
            WANTED.look,
        ),
        (
            ServerUnavailable("nobody answers"),
            Attempts(tries=1),
            "unavailable",
            f"nobody answers; tried once; {NAME} was not accepted",
            "stigmer doctor; then the same command again",
        ),
    ],
)
def test_it_says_whether_it_may_have_been_accepted_and_what_to_do(
    error: StigmerError, attempts: Attempts, code: str, message: str, hint: str
) -> None:
    told = _add_doubt(WANTED, error, attempts)
    assert (told.code, told.message, told.hint) == (code, message, hint)
