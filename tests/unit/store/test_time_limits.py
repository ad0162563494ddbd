"""Which timeouts begin again as a workflow is resumed, in journals as an attempt writes them."""

import asyncio
from collections.abc import Sequence

import pytest

from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Step
from stigmer_cli.store.resuming import Decision, _choose_in_failed
from stigmer_cli.store.time_limits import find_expired
from stigmer_cli.workflow.runtime import Functions
from tests.support.fakes import START
from tests.support.fakes_temporal import in_virtual_time
from tests.support.workflow_reports import output_of
from tests.unit.runner.workflow_player import EXECUTION, LateMessages, Runner

CALL = "{call: agent, with: {n: 1}}"
SLOW = "do: [{w: {wait: PT20S}}], timeout: {after: PT10S}"


def read_journal(runner: Runner) -> Sequence[Step]:
    return [
        Step(
            seq=number,
            key=kept.draft.key,
            kind=kept.draft.kind,
            name=kept.draft.name,
            effect=kept.draft.effect,
            state=kept.state,
            attempts=1,
            started_at=START,
            error=kept.error,
            epoch=1,
            run=RunId("run-1"),
            attempt=1,
            runner="r",
            input_hash=kept.draft.input_hash,
            result_bytes=len(kept.result or ""),
        )
        for number, kept in enumerate(runner.row.journal.values(), 1)
    ]


async def attempt_until_ended(runner: Runner) -> None:
    """Attempts; the time that one waits for comes before the next one begins."""
    await runner.attempt()
    while runner.row.phase is Phase.IN_PROGRESS:
        await asyncio.sleep(runner.row.waits[-1].delay_s or 0)
        runner.reports.end_timer(EXECUTION)
        await runner.attempt()


async def forget(runner: Runner) -> Sequence[str]:
    """Forget what a resume forgets; returns the keys of that."""
    forgotten = _choose_in_failed(read_journal(runner), Decision(), ExecutionId(EXECUTION), str(runner.row.error))
    for step in forgotten:
        del runner.row.journal[step.key]
    runner.row.phase, runner.row.error = Phase.IN_PROGRESS, None
    return sorted(step.key for step in forgotten)


@pytest.mark.parametrize(
    ("text", "forgotten"),
    [
        (
            f"do: [{{a: {CALL}}}, {{w: {{wait: PT20S}}}}]\ntimeout: {{after: PT10S}}",
            ["/deadline", "/timeout"],
        ),
        (
            f"do: [{{a: {CALL}}}, {{x: {{{SLOW}}}}}]\ntimeout: {{after: PT1H}}",
            ["/deadline", "/do/1/x/deadline", "/do/1/x/timeout", "/timeout"],
        ),
        (
            f"do: [{{f: {{fork: {{branches: [{{x: {{{SLOW}}}}}]}}}}}}]",
            ["/do/0/f/fork/branches/0/x/deadline", "/do/0/f/fork/branches/0/x/timeout", "/do/0/f/fork/failed"],
        ),
        (
            f"do: [{{l: {{for: {{each: n, in: '${{ [1] }}'}}, do: [{{x: {{{SLOW}}}}}]}}}}]",
            ["/do/0/l/for/0/do/0/x/deadline", "/do/0/l/for/0/do/0/x/timeout"],
        ),
        (
            f"do: [{{t: {{try: [{{x: {{{SLOW}}}}}], catch: {{retry: {{limit: {{attempt: {{count: 1}}}}}}}}}}}}]",
            ["/do/0/t/retry/1/try/0/x/deadline", "/do/0/t/retry/1/try/0/x/timeout"],
        ),
        (
            "do: [{x: {do: [{y: {do: [{w: {wait: PT20S}}], timeout: {after: PT15S}}}], timeout: {after: PT10S}}}]",
            ["/do/0/x/do/0/y/deadline", "/do/0/x/deadline", "/do/0/x/timeout"],
        ),
    ],
    ids=["workflow", "task", "branch", "loop", "retries", "inside another"],
)
def test_a_timeout_that_failed_the_workflow_begins_again(text: str, forgotten: list[str]) -> None:
    runner = Runner(text)

    async def main() -> None:
        await attempt_until_ended(runner)
        assert (runner.row.phase, "it was not done within 10 s" in str(runner.row.error)) == (Phase.FAILED, True)
        assert await forget(runner) == sorted(forgotten)
        await asyncio.sleep(60)
        await runner.attempt()

    in_virtual_time(main())
    assert runner.row.phase is Phase.COMPLETED, runner.row.error
    assert runner.service.asked == ([1] if CALL in text else []), "what is recorded is not done again"


def test_what_a_timeout_cut_off_is_asked_about_and_what_a_race_inside_of_it_did_is_not() -> None:
    call = "{call: agent, with: {n: %d, takes: %d}}"
    race = f"{{fork: {{compete: true, branches: [{{a: {call % (1, 60)}}}, {{b: {call % (2, 1)}}}]}}}}"
    late = f"{{c: {(call % (3, 60))[:-1]}, timeout: {{after: PT2S}}}}}}"
    caught = f"{{try: [{late}], catch: {{do: [{{s: {{set: {{late: true}}}}}}]}}}}"
    runner = Runner(f"do: [{{r: {race}}}, {{t: {caught}}}, {{d: {call % (4, 60)}}}]\ntimeout: {{after: PT10S}}")

    async def main() -> None:
        await attempt_until_ended(runner)
        assert await forget(runner) == ["/deadline", "/do/2/d", "/timeout"]

    in_virtual_time(main())


def test_a_timeout_that_was_caught_before_failed_nothing() -> None:
    caught = f"{{try: [{{x: {{{SLOW}}}}}], catch: {{do: [{{a: {CALL}}}]}}}}"
    runner = Runner(f"do: [{{t: {caught}}}, {{r: {{raise: {{error: {{type: about:blank, status: 418}}}}}}}}]")

    async def main() -> None:
        await attempt_until_ended(runner)
        assert runner.row.phase is Phase.FAILED
        journal = read_journal(runner)
        assert find_expired(journal, str(runner.row.error)) is None
        assert find_expired(journal, "it was not done within 10 s") is None, "something was done since"
        assert await forget(runner) == []

    in_virtual_time(main())


def test_a_task_that_is_called_as_one_of_the_two_steps_has_no_timeout() -> None:
    named = "{timeout: {wait: PT1S}}, {deadline: {wait: PT1S}}"
    runner = Runner(f"do: [{named}, {{w: {{wait: PT20S}}}}]\ntimeout: {{after: PT9S}}")

    async def main() -> None:
        await attempt_until_ended(runner)
        assert await forget(runner) == ["/deadline", "/timeout"]

    in_virtual_time(main())


RETRY = "retry: {delay: PT4S, limit: {duration: PT10S}}"
FAILING = "{call: agent, with: {n: 1, fails: sold out}}"


def test_the_time_for_retries_begins_again_with_what_is_tried() -> None:
    runner = Runner(f"do: [{{t: {{try: [{{x: {FAILING}}}], catch: {{{RETRY}}}}}}}]")

    async def main() -> None:
        await attempt_until_ended(runner)
        assert len(runner.service.asked) == 3, "at once, and after 4 and 8 seconds"
        assert await forget(runner) == ["/do/0/t/end", "/do/0/t/retry/2/try/0/x", "/do/0/t/retry/3"]
        await asyncio.sleep(60)
        await attempt_until_ended(runner)
        assert len(runner.service.asked) == 6

    in_virtual_time(main())


def test_what_a_try_does_after_its_last_retry_does_not_have_it_tried_again() -> None:
    runner = Runner(f"do: [{{t: {{try: [{{x: {FAILING}}}], catch: {{{RETRY}, do: [{{y: {FAILING}}}]}}}}}}]")

    async def main() -> None:
        await attempt_until_ended(runner)
        assert await forget(runner) == ["/do/0/t/catch/do/0/y"]

    in_virtual_time(main())


def test_the_time_for_retries_begins_again_in_the_branches_that_were_left_in_the_middle() -> None:
    going_on = f"{{try: [{{x: {{wait: PT1M}}}}], catch: {{{RETRY}}}}}"
    runner = Runner(f"do: [{{f: {{fork: {{branches: [{{a: {going_on}}}, {{b: {FAILING}}}]}}}}}}]")

    async def main() -> None:
        await attempt_until_ended(runner)
        branches = "/do/0/f/fork/branches"
        assert await forget(runner) == [f"{branches}/0/a/end", f"{branches}/1/b", "/do/0/f/fork/failed"]

    in_virtual_time(main())


def test_the_time_of_a_subscription_begins_again_where_the_service_had_ended_it() -> None:
    consumed = "{consume: {amount: 2, for: PT10S}}"
    runner = Runner(f"do: [{{a: {{call: agent, with: {{n: 1, subscription: {consumed}}}}}}}]")
    late = LateMessages(1)
    runner.functions = Functions(calls={"agent": runner.service}, subscriptions={"agent": late})

    async def main() -> None:
        await attempt_until_ended(runner)
        assert "the service has ended the subscription" in str(runner.row.error)
        assert await forget(runner) == ["/do/0/a/messages/1", "/do/0/a/until"]
        await asyncio.sleep(60)
        await attempt_until_ended(runner)
        assert output_of(runner.row) == [1, 1]

    in_virtual_time(main())
