"""By which keys the other side of a call knows it."""

from stigmer_cli.domain.idempotency import CallGenerations, idempotency_key

KEY = "/do/0/t/try/0/call"
RETRY = "/do/0/t/retry/3/try/0/call"


def test_a_key_is_that_of_an_execution_and_a_step_and_is_never_another() -> None:
    assert idempotency_key("aex-1", "/turns/0/calls/0") == "546700989a3283d9f44f019d8e086d95"
    assert len({idempotency_key("aex-1", KEY), idempotency_key("aex-2", KEY), idempotency_key("aex-1", "/do/0")}) == 3


def test_a_retry_is_the_same_call_once_more() -> None:
    assert idempotency_key("aex-1", KEY) == idempotency_key("aex-1", RETRY)
    assert idempotency_key("aex-1", "/do/0/retry/1") != idempotency_key("aex-1", "/do/0/try"), "tasks may be called so"


def test_what_is_made_anew_has_another_key_each_time_and_what_had_begun_before_keeps_its_own() -> None:
    found = [idempotency_key("aex-1", KEY, CallGenerations(present=present)) for present in range(3)]
    assert len(set(found)) == 3
    assert found[0] == idempotency_key("aex-1", KEY)
    kept = CallGenerations(present=2, kept={KEY: 1})
    assert idempotency_key("aex-1", RETRY, kept) == found[1]
