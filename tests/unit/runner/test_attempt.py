"""One attempt with a server and a model that behave badly, in virtual time."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from stigmer_cli.api.reports import Work
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import (
    Conflict,
    MachineError,
    NotFound,
    OperationFailed,
    Refused,
    RequestError,
    ServerUnavailable,
    StigmerError,
    StoreBusy,
)
from stigmer_cli.runner.attempt import AttemptRunner
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.heartbeat import ModelPostponed
from stigmer_cli.runner.model.seam import Model, ModelBusy, ModelFailed
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.reports import ClockAndRng, Reporter, ReportFailed, ReportRefused, WrongServer
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.settings import OnExhausted
from tests.support.fakes_runner import InMemoryReports, Row
from tests.support.fakes_temporal import LoopClock, in_virtual_time

EXECUTION = "aex-00000000000000000000000001"


class Script:
    """A model that says the given words, or raises the given errors, a second apart; one list a try."""

    def __init__(self, *tries: list[str | TokenUsage | Exception]) -> None:
        self._tries = list(tries)
        self.asked = 0

    def __call__(self, _name: str) -> Model:
        return self

    async def stream(self, _work: Work) -> AsyncGenerator[str | TokenUsage, None]:
        self.asked += 1
        for word in self._tries[min(self.asked, len(self._tries)) - 1]:
            await asyncio.sleep(1)
            if isinstance(word, Exception):
                raise word
            yield word


def perform(
    model: Script,
    *,
    begun: int = 0,
    runners: Sequence[str] = (),
    reports: InMemoryReports | None = None,
    postponed: Sequence[dict[str, object]] = (),
    has_steps: bool | None = None,
    progressed: int = 0,
    can_wait: bool = False,
    on_exhausted: OnExhausted = OnExhausted.PAUSE,
    time_left_s: float | None = None,
) -> Row:
    """What became of the attempt after `begun` others, of which `postponed` met a busy model."""
    reports = reports or InMemoryReports()
    row = reports.add(EXECUTION)
    row.work = row.work.model_copy(update={"has_steps": has_steps, "progressed": progressed, "can_wait": can_wait})
    row.postponed += postponed
    row.claimed_run, row.phase, row.begun = "run-1", Phase.IN_PROGRESS, 0 if progressed else begun
    row.runners += runners
    clock_and_rng = ClockAndRng(clock=LoopClock(), rng=random.Random(3))
    attempt = Attempt(
        execution=EXECUTION,
        epoch=1,
        run="run-1",
        workflow="w",
        first_run="run-1",
        number=begun + 1,
        runner="r",
        time_left_s=time_left_s,
    )
    attempt_runner = AttemptRunner(
        Reporter(reports, clock_and_rng),
        model,
        clock_and_rng,
        model_retry=ModelRetry(for_s=900.0, on_exhausted=on_exhausted),
    )

    async def begin_and_perform() -> None:
        begun = await attempt_runner.begin(attempt)
        if begun.work is not None:
            await attempt_runner.perform(attempt, begun.work)

    try:
        in_virtual_time(begin_and_perform())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return row


def test_the_outcome_is_with_the_server_when_the_attempt_ends() -> None:
    row = perform(Script(["a", "b"]))
    assert (row.phase, row.output, row.text, row.finishes) == (Phase.COMPLETED, "ab", "ab", 1)


def test_a_server_that_keeps_no_journals_is_told_of_no_step() -> None:
    assert perform(Script(["a"])).steps == []


def test_the_only_turn_goes_with_the_outcome_and_its_text_is_not_sent_twice() -> None:
    used = TokenUsage(model="m", input_tokens=3)
    [turn] = perform(Script(["a", used]), has_steps=False).steps
    assert turn.to_wire() == {
        "step": {
            "key": "/turns/0",
            "kind": "turn",
            "name": "echo",
            "effect": "none",
            "nonce": turn.step.nonce,
            "inputHash": turn.step.input_hash,
            "input": None,
        },
        "end": {
            "state": "DONE",
            "result": None,
            "error": None,
            "usage": {"model": "m", "inputTokens": 3, "outputTokens": 0, "details": {}, "cost": None},
            "tookS": pytest.approx(2.0),
            "isOutcome": True,
        },
    }
    [failed] = perform(Script([ModelFailed("set a key")]), has_steps=True).steps
    assert (failed.end.state, failed.end.error, failed.end.is_outcome) == ("FAILED", "set a key", False)
    assert failed.step.input_hash == turn.step.input_hash


def test_a_runner_that_gives_up_has_no_turn() -> None:
    assert perform(Script(["a"]), begun=10, runners=[f"r{n}" for n in range(10)], has_steps=False).steps == []


def test_deliveries_are_counted_from_the_last_attempt_on_that_recorded_a_step() -> None:
    assert perform(Script(["a"]), begun=40, progressed=20).phase is Phase.COMPLETED
    assert perform(Script(["a"]), begun=45, progressed=20).phase is Phase.FAILED


def test_a_model_that_fails_is_a_failed_execution_with_its_sentence() -> None:
    model = Script([ModelFailed("set a key")])
    row = perform(model)
    assert (row.phase, row.error, model.asked) == (Phase.FAILED, "set a key", 1)


def wait(*, broke_off: bool = False, busy_s: float = 10.0) -> dict[str, object]:
    """An attempt that met a busy model, as the server keeps it."""
    return {"busy_s": busy_s, "broke_off": broke_off, "at": datetime(2026, 5, 4, 12, 3, 10, tzinfo=UTC)}


def test_a_busy_model_is_left_to_another_attempt_and_the_server_is_told_when() -> None:
    model = Script([ModelBusy("no room")])
    reports = InMemoryReports()
    with pytest.raises(ModelPostponed) as caught:
        perform(model, reports=reports)
    (told,) = reports.rows[EXECUTION].postponed
    assert (model.asked, told["cause"], told["broke_off"]) == (1, "no room", False)
    assert told["delay_s"] == told["busy_s"] == caught.value.delay_s
    assert 0.5 <= caught.value.delay_s <= 1.0


def test_a_later_attempt_knows_for_how_long_the_model_has_been_busy() -> None:
    reports = InMemoryReports()
    with pytest.raises(ModelPostponed) as caught:
        perform(Script([ModelBusy("no room")]), begun=4, postponed=[wait()] * 4, reports=reports)
    told = reports.rows[EXECUTION].postponed[-1]
    assert told["busy_s"] == pytest.approx(10.0 + 1.0 + caught.value.delay_s)


def test_once_the_time_is_used_up_a_busy_model_fails_the_execution_with_since_when_and_how_often() -> None:
    row = perform(Script([ModelBusy("no room")]), begun=20, postponed=[wait(busy_s=899.5)] * 20)
    assert (row.phase, row.error) == (
        Phase.FAILED,
        "no room; given up after 21 tries since 2026-05-04T12:03:10.000Z: STIGMER_MODEL_RETRY_FOR is 15m",
    )


def used(input_tokens: int, output_tokens: int) -> TokenUsage:
    return TokenUsage(model="openai:m", input_tokens=input_tokens, output_tokens=output_tokens)


BUSY_LONG = {"attempt": 1, "at": datetime(2026, 1, 1, tzinfo=UTC), "busy_s": 901.0, "broke_off": False}


@pytest.mark.parametrize(
    ("asked", "phase", "cause"),
    [
        ({"can_wait": True}, Phase.IN_PROGRESS, "429; given up after 2 tries"),
        ({"can_wait": False}, Phase.FAILED, None),
        ({"can_wait": True, "on_exhausted": OnExhausted.FAIL}, Phase.FAILED, None),
    ],
    ids=["paused", "an old server", "as asked"],
)
def test_once_the_tries_are_used_up_the_execution_is_paused_if_it_may_be(
    asked: dict[str, Any], phase: Phase, cause: str | None
) -> None:
    model = Script([TokenUsage(model="m", input_tokens=3), ModelBusy("429")])
    row = perform(model, begun=1, runners=["r"], postponed=[BUSY_LONG], has_steps=False, **asked)
    assert row.phase is phase
    if cause is None:
        assert (row.waits, "429" in (row.error or "")) == ([], True)
        return
    [wait] = row.waits
    assert (wait.wait_for, wait.step, wait.cause[: len(cause)]) == (WaitFor.RETRIES, None, cause)
    assert (row.finishes, row.steps, [used and used.input_tokens for used in row.usages]) == (0, [], [3])


def test_an_execution_whose_own_time_is_up_fails_and_is_not_paused() -> None:
    row = perform(Script([ModelBusy("429")]), can_wait=True, time_left_s=2.5)
    assert (row.phase, row.waits) == (Phase.FAILED, [])
    assert "own time-out" in (row.error or "")


def test_an_execution_of_which_runners_died_is_paused_without_asking_the_model() -> None:
    model = Script(["a"])
    row = perform(model, begun=10, runners=[f"r{n}" for n in range(10)], can_wait=True)
    assert (model.asked, row.phase, [wait.wait_for for wait in row.waits]) == (0, Phase.IN_PROGRESS, [WaitFor.RETRIES])


def test_what_each_try_of_an_attempt_used_goes_with_its_outcome() -> None:
    row = perform(Script(["a", used(8, 2), used(7, 0)]))
    assert (row.phase, row.usages) == (Phase.COMPLETED, [used(15, 2)])
    row = perform(Script(["a", used(8, 2), ModelFailed("cut")]))
    assert (row.phase, row.usages) == (Phase.FAILED, [used(8, 2)])
    assert perform(Script(["a"])).usages == [None], "a model that counts nothing"


def test_an_answer_that_broke_off_has_used_what_it_has() -> None:
    reports = InMemoryReports()
    with pytest.raises(ModelPostponed):
        perform(Script(["a", used(8, 2), ModelBusy("cut")]), reports=reports)
    assert reports.rows[EXECUTION].usages == [used(8, 2)]
    assert reports.rows[EXECUTION].finishes == 0


def test_attempts_that_met_a_busy_model_are_no_runners_that_died() -> None:
    assert perform(Script(["a"]), begun=60, runners=["r"], postponed=[wait()] * 60).output == "a"


def test_an_answer_that_broke_off_is_delivered_withdrawn_and_left_to_another_attempt() -> None:
    reports = InMemoryReports()
    with pytest.raises(ModelPostponed):
        perform(Script(["a", ModelBusy("cut")]), reports=reports, postponed=[wait()])
    told = reports.rows[EXECUTION].postponed[-1]
    assert (reports.rows[EXECUTION].text, told["broke_off"]) == ("a", True)
    assert told["busy_s"] == told["delay_s"], "it answered: this is another wait"


def test_an_answer_that_broke_off_as_often_as_it_may_is_a_failure() -> None:
    row = perform(Script(["a", ModelBusy("cut")]), begun=4, postponed=[wait(broke_off=True)] * 4)
    assert (row.phase, row.error) == (
        Phase.FAILED,
        "cut; given up after 5 tries: it broke off in 5 tries, which is as often as it may",
    )


def test_a_superseded_attempt_does_not_postpone_the_one_that_followed() -> None:
    class Overtaken(InMemoryReports):
        def postpone_now(self, execution: str, *, epoch: int, run: str, attempt: int, **told: object) -> bool:
            self.rows[execution].attempt = 2
            return super().postpone_now(execution, epoch=epoch, run=run, attempt=attempt, **told)

    row = perform(Script([ModelBusy("no room")]), reports=Overtaken())
    assert (row.phase, row.postponed, row.refused) == (Phase.IN_PROGRESS, [], 1)


def test_what_began_in_as_many_processes_as_it_may_is_given_up_without_asking_the_model() -> None:
    row = perform(Script(["never said"]), begun=5, runners=["r1", "r2", "r3", "r4", "r5"])
    assert (row.phase, row.error, row.text) == (
        Phase.FAILED,
        "its runner died, or stopped responding, each time it was performed; see `stigmer logs runner`",
        "",
    )


def test_a_runner_that_lives_may_begin_it_twice_as_often() -> None:
    assert perform(Script(["a"]), begun=9, runners=["r"] * 9).output == "a"
    row = perform(Script(["never said"]), begun=10, runners=["r"] * 10)
    assert (row.phase, row.error) == (
        Phase.FAILED,
        "its runner failed unexpectedly, or stopped responding, each time it was performed; see `stigmer logs runner`",
    )


class Moody(InMemoryReports):
    """Raises the given errors first, one a call."""

    def __init__(self, *errors: StigmerError) -> None:
        super().__init__()
        self._errors = list(errors)

    def _row(self, execution: str) -> Row:
        if self._errors:
            raise self._errors.pop(0)
        return super()._row(execution)


@pytest.mark.parametrize(
    "error",
    [
        ServerUnavailable("away"),
        StoreBusy("busy"),
        MachineError("disk full"),
        Refused("token rotated"),
    ],
)
def test_what_passes_is_waited_out(error: StigmerError) -> None:
    assert perform(Script(["a"]), reports=Moody(*[error] * 50)).phase is Phase.COMPLETED


def test_what_the_server_will_never_take_is_not_asked_again() -> None:
    with pytest.raises(ReportRefused):
        perform(Script(["a"]), reports=Moody(RequestError("too long")))


def test_what_the_server_fails_at_for_ever_is_left_to_another_attempt_which_a_person_can_see() -> None:
    assert perform(Script(["a"]), reports=Moody(*[OperationFailed("internal")] * 20)).phase is Phase.COMPLETED
    with pytest.raises(ReportFailed):
        perform(Script(["a"]), reports=Moody(*[OperationFailed("internal")] * 200))
    other = [OperationFailed("internal"), ServerUnavailable("it is started again")]
    assert perform(Script(["a"]), reports=Moody(*other * 50)).phase is Phase.COMPLETED


def test_what_contradicts_the_server_is_left_to_another_attempt() -> None:
    with pytest.raises(Conflict):
        perform(Script(["a"]), reports=Moody(Conflict("a gap")))


def test_an_execution_that_the_server_does_not_know_is_left_to_a_runner_of_its_own_store() -> None:
    model = Script(["a"])
    with pytest.raises(WrongServer):
        perform(model, reports=Moody(NotFound("gone")))
    assert model.asked == 0


def test_an_attempt_whose_outcome_is_there_already_asks_no_model() -> None:
    model, reports = Script(["a"]), InMemoryReports()

    class Ended(InMemoryReports):
        def add(self, execution: str, *, message: str = "hello", model: str = "echo") -> Row:
            row = super().add(execution, message=message, model=model)
            row.epoch = 2
            return row

    perform(model, reports=Ended())
    assert (model.asked, reports.rows) == (0, {})


def test_a_superseded_attempt_stops_its_model_and_changes_nothing() -> None:
    class Overtaken(InMemoryReports):
        def append_now(
            self, execution: str, *, epoch: int, run: str, attempt: int, index: int, offset: int, role: str, text: str
        ) -> bool:
            self.rows[execution].attempt = 2
            return super().append_now(
                execution, epoch=epoch, run=run, attempt=attempt, index=index, offset=offset, role=role, text=text
            )

    row = perform(Script(["a"] * 100), reports=Overtaken())
    assert (row.phase, row.text, row.finishes, row.refused) == (Phase.IN_PROGRESS, "", 0, 1)


def test_a_model_that_says_a_secret_again_is_not_heard() -> None:
    DELIVERED.remember("canary-in-an-answer")
    row = perform(Script(["it is can", "ary-in-an-an", "swer, and ca", "n"]))
    assert row.output == row.text == "it is [redacted], and can"
    failed = perform(Script([ModelFailed("not with canary-in-an-answer")]))
    assert failed.error == "not with [redacted]"
    reports = InMemoryReports()
    with pytest.raises(ModelPostponed):
        perform(Script([ModelBusy("canary-in-an-answer")]), reports=reports)
    assert reports.rows[EXECUTION].postponed[0]["cause"] == "[redacted]"
