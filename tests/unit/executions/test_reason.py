"""What a queued execution says while Temporal is away."""

from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.domain.execution import Attention, AttentionCode, Execution, QueueReason
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.pollers import Polling, SeenPoller
from stigmer_cli.executions.reason import REASONS, explain_wait, find_hold, refuse_while_unavailable
from tests.support.execution_rows import row
from tests.support.fakes import START, SwitchedLink


def test_every_state_of_the_connection_has_its_reason() -> None:
    assert set(REASONS) == set(ConnectionState)
    assert [state for state, reason in REASONS.items() if reason is None] == [ConnectionState.CONNECTED]


def test_a_queued_execution_names_address_time_and_cause() -> None:
    link = SwitchedLink(ConnectionState.DISCONNECTED, cause="connection refused")
    found = explain_wait(row(), link.status()).dispatch
    assert found.reason is QueueReason.TEMPORAL_UNREACHABLE
    assert found.detail == (
        "Temporal unreachable at 127.0.0.1:7233 since 2026-05-04T12:00:00.000Z (connection refused)"
    )


@pytest.mark.parametrize(
    "execution",
    [
        row(Phase.IN_PROGRESS, submitted_s_ago=5),
        row(Phase.CANCELLED),
        replace(row(), attention=Attention(code=AttentionCode.SUBMIT_FAILED, reason="refused", since=START)),
    ],
    ids=["running", "ended", "waiting for a person"],
)
def test_what_does_not_wait_for_temporal_is_left_as_it_is(execution: Execution) -> None:
    assert explain_wait(execution, SwitchedLink(ConnectionState.DISCONNECTED).status()) is execution


POLLED = Polling(pollers=[SeenPoller(identity="r", last_access_at=START, silent_s=70)], checked_at=START)
DESERTED = Polling(pollers=[SeenPoller(identity="r", last_access_at=START, silent_s=80)], checked_at=START)


@pytest.mark.parametrize(
    ("polling", "reason"),
    [
        (POLLED, QueueReason.STARTING),
        (DESERTED, QueueReason.WAITING_FOR_RUNNER),
        (Polling(checked_at=START), QueueReason.WAITING_FOR_RUNNER),
        (Polling(), QueueReason.STARTING),
        (None, QueueReason.STARTING),
    ],
    ids=["polled", "left", "nobody", "not asked yet", "not looked"],
)
def test_a_submitted_execution_waits_for_a_runner_only_where_none_polls(
    polling: Polling | None, reason: QueueReason
) -> None:
    found = execution_resource(explain_wait(row(submitted_s_ago=5), SwitchedLink().status(), polling)).status.dispatch
    assert (found.state, found.reason) == ("submitted", reason)
    assert found.since == START - timedelta(seconds=5)


def test_while_all_slots_are_busy_that_is_what_it_waits_for() -> None:
    full = replace(POLLED, full="all 50 slots of the runner are busy")
    found = explain_wait(row(submitted_s_ago=5), SwitchedLink().status(), full).dispatch
    assert found.reason is QueueReason.STARTING
    assert found.detail == "no run has claimed it yet: all 50 slots of the runner are busy"


def test_a_submitted_execution_that_temporal_is_away_from_says_so() -> None:
    link = SwitchedLink(ConnectionState.DISCONNECTED, cause="connection refused")
    found = explain_wait(row(submitted_s_ago=5), link.status(), DESERTED).dispatch
    assert found.reason is QueueReason.TEMPORAL_UNREACHABLE
    assert found.detail.endswith("(connection refused)")


def test_only_what_is_pending_has_a_reason() -> None:
    for phase in (Phase.IN_PROGRESS, Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED):
        assert execution_resource(row(phase, submitted_s_ago=5)).status.dispatch.reason is None


def test_a_connected_temporal_holds_nothing_up() -> None:
    status = SwitchedLink().status()
    assert find_hold(status) is None
    assert refuse_while_unavailable(status, START) is None


def test_a_refusal_says_when_to_come_back() -> None:
    status = SwitchedLink(ConnectionState.MISCONFIGURED, cause='namespace "x" not found').status()
    refusal = refuse_while_unavailable(replace(status, next_try_at=START + timedelta(seconds=30)), START)
    assert refusal is not None
    assert refusal.retry_after_s == 30.0
    assert 'namespace "x" not found' in refusal.message


def test_what_was_queued_under_a_clock_that_ran_ahead_began_now_and_is_due() -> None:
    link = SwitchedLink()
    ahead = row()
    hour = timedelta(hours=1)
    ahead = replace(ahead, dispatch=replace(ahead.dispatch, since=START + hour, next_try_at=START + hour))
    found = explain_wait(ahead, replace(link.status(), now=START)).dispatch
    assert (found.since, found.next_try_at) == (START, START)
    soon = replace(ahead, dispatch=replace(ahead.dispatch, next_try_at=START + timedelta(seconds=29)))
    assert explain_wait(soon, replace(link.status(), now=START)).dispatch.next_try_at == START + timedelta(seconds=29)
