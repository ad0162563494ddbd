"""What to type for a stuck execution, or for many of one class."""

from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.domain.execution import Attention, AttentionCode
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.progress import Progress
from stigmer_cli.domain.stuck import StuckClass, way_out, way_out_of_all
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.plan import Rules, plan
from stigmer_cli.judgement.stuck import StuckContext, judge
from tests.support.execution_rows import row
from tests.support.fakes import START
from tests.support.records import SENDING

POLLED = StuckContext(now=START, is_polled=True, untaken_s=0.0)
AGO = START - timedelta(seconds=1000)


@pytest.mark.parametrize("kind", list(StuckClass))
@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.IN_PROGRESS])
def test_every_class_has_a_way_out_that_repeats_effects_only_where_there_may_have_been_some(
    kind: StuckClass, phase: Phase
) -> None:
    way = str(way_out(kind, ExecutionId("aex-1"), phase))
    assert way.startswith("stigmer ")
    if phase is Phase.PENDING and kind is StuckClass.CANNOT_REPLAY:
        assert way == "stigmer executions reconcile aex-1"


def test_a_decision_about_one_step_is_printed_with_its_key() -> None:
    mark = Attention(code=AttentionCode.EFFECT_UNKNOWN, reason="because", since=AGO)
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), attention=mark)
    assert SENDING.in_the_air is not None
    step = replace(SENDING.in_the_air, key="/turns/3/calls/0")

    def hint(observation: Observation) -> str:
        [move] = plan([observation], now=START, rules=Rules())
        found = judge(observation, move, POLLED)
        assert found is not None
        return found.hint

    one = Observation(execution=execution, progress=Progress(in_the_air=step))
    assert hint(one) == (
        f"stigmer executions resume {execution.id} --repeat /turns/3/calls/0,"
        f" or stigmer executions resume {execution.id} --skip /turns/3/calls/0,"
        f" or stigmer executions reconcile {execution.id} --include-in-progress"
        " (the first and the last repeat what may have been done)"
    )
    for other in (
        replace(one, progress=Progress(in_the_air=step, is_only=False)),
        replace(one, progress=Progress()),
        replace(one, execution=replace(execution, attention=None)),
    ):
        assert hint(other).startswith("stigmer executions reconcile")


def test_a_journal_that_does_not_fit_is_gone_on_with_from_the_step_that_does_not() -> None:
    reason = "step /turns/3/calls/0 (tool send) was recorded at 12:00 with another input"
    mark = Attention(code=AttentionCode.JOURNAL_MISMATCH, reason=reason, since=AGO)
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), attention=mark)
    [move] = plan([Observation(execution=execution)], now=START, rules=Rules())
    found = judge(Observation(execution=execution), move, POLLED)
    assert found is not None
    assert found.hint == (
        f"stigmer executions resume {execution.id} --from /turns/3/calls/0,"
        f" or stigmer executions rerun {execution.id}, or stigmer executions cancel {execution.id}"
        " (the first performs that step and all after it again)"
    )


def test_many_are_named_up_to_five_and_what_needs_no_name_is_not_named() -> None:
    ids = [ExecutionId(f"aex-{number}") for number in range(1, 8)]

    def commands(kind: StuckClass, number: int, phase: Phase = Phase.IN_PROGRESS) -> tuple[str, ...]:
        return way_out_of_all(kind, ids[:number], phase).commands

    assert commands(StuckClass.ORPHAN, 7) == ("stigmer executions reconcile --yes",)
    assert commands(StuckClass.LOST, 2) == ("stigmer executions reconcile aex-1 aex-2 --include-in-progress",)
    assert commands(StuckClass.LOST, 7) == ("stigmer executions reconcile --include-in-progress",)
    assert commands(StuckClass.REFUSED, 7) == ("stigmer executions reconcile aex-1 aex-2 aex-3 aex-4 aex-5",)
    assert commands(StuckClass.CANNOT_REPLAY, 1, Phase.PENDING) == ("stigmer executions reconcile aex-1",)
    assert commands(StuckClass.KEEPS_FAILING, 2) == ("stigmer restart runner", "stigmer executions cancel aex-1")
