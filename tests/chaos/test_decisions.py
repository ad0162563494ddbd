"""The rules for decisions about calls, by example."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.resources import EventBody
from stigmer_cli.api.steps import StepContentsBody
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.idempotency import idempotency_key
from stigmer_cli.domain.step import Effect, StepKind, StepState
from stigmer_cli.domain.waiting import Verdict
from tests.chaos.decider import Choice, Decider
from tests.chaos.decisions import wrong_decisions
from tests.chaos.journals import EffectLine, Journal, wrong_journal
from tests.chaos.tool_agents import GUARDED

EXECUTION = "aex-1"
SEND = "/turns/0/calls/1"
OTHER = "/turns/0/calls/2"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def step(key: str, state: StepState, effect: Effect = Effect.ONCE, **more: Any) -> StepContentsBody:
    return StepContentsBody(
        number=1,
        key=key,
        kind=StepKind.TOOL,
        name="send",
        state=state,
        effect=effect,
        attempts=1,
        started_at=NOW,
        input_hash="hash",
        **more,
    )


def decision(key: str, verdict: Verdict | None) -> DecisionBody:
    return DecisionBody(step=key, tool="send", arguments_hash="hash", verdict=verdict)


def journal(verdict: Verdict | None, found: StepContentsBody | None, *, has_effect: bool) -> Journal:
    key = idempotency_key(EXECUTION, SEND)
    return Journal(
        execution=EXECUTION,
        agent=GUARDED,
        steps={found.key: found} if found else {},
        results={SEND: "send b"},
        effects={key: [EffectLine(tool="send", text="b", key=key, at_s=1.0)]} if has_effect else {},
        decisions={SEND: decision(SEND, verdict)},
    )


DENIED = step(SEND, StepState.FAILED, Effect.NONE, error="a person denied this call: by chance")
DONE = step(SEND, StepState.DONE)


@pytest.mark.parametrize(
    ("verdict", "found", "has_effect", "wrong"),
    [
        (Verdict.APPROVED, DONE, True, ""),
        (Verdict.APPROVED, DENIED, False, "is send (none), not send (once)"),
        (Verdict.DENIED, DENIED, False, ""),
        (Verdict.DENIED, None, False, ""),
        (Verdict.DENIED, step(SEND, StepState.BEGUN, Effect.NONE), False, ""),
        (Verdict.DENIED, DENIED, True, "took effect, and it was denied"),
        (Verdict.DENIED, DONE, False, "was denied, and is send (once)"),
        (Verdict.DENIED, DENIED.model_copy(update={"error": "it broke"}), False, "was denied, and is FAILED: it broke"),
        (None, None, False, ""),
        (None, None, True, "took effect, and it was never approved"),
        (None, step(SEND, StepState.BEGUN), False, "nobody had approved it"),
    ],
)
def test_a_call_takes_effect_only_if_it_was_approved(
    verdict: Verdict | None, found: StepContentsBody | None, *, has_effect: bool, wrong: str
) -> None:
    said = wrong_journal(journal(verdict, found, has_effect=has_effect), is_completed=False)
    assert wrong in said if wrong else said == ""


def timeline(*told: tuple[EventType, Mapping[str, object]]) -> list[EventBody]:
    return [
        EventBody(seq=seq, at=NOW, type=type_, text="", data=dict(data)) for seq, (type_, data) in enumerate(told, 1)
    ]


ASKED = (EventType.WAITING, {"for": "approval", "calls": 2})
WOKEN = (EventType.RESUMED, {"waited": True})


def said(key: str) -> tuple[EventType, Mapping[str, object]]:
    return EventType.DECIDED, {"step": key, "verdict": "approved"}


def decider(verdict: Verdict = Verdict.APPROVED) -> Decider:
    made = Decider(cast("Client", None), random.Random(1))
    made.choices = {(EXECUTION, key): Choice(verdict=verdict, due_s=0.0) for key in (SEND, OTHER)}
    made.acknowledged = {(EXECUTION, SEND)}
    return made


def test_a_decision_is_taken_once_and_is_the_one_that_was_made() -> None:
    both = replace(
        journal(Verdict.APPROVED, None, has_effect=False),
        decisions={key: decision(key, Verdict.APPROVED) for key in (SEND, OTHER)},
    )
    events = timeline(ASKED, said(SEND), said(OTHER), WOKEN)
    assert wrong_decisions(both, events, decider()) == ""
    assert "decided in the timeline" in wrong_decisions(both, timeline(ASKED, said(SEND), said(SEND)), decider())
    assert "it was to be denied" in wrong_decisions(both, events, decider(Verdict.DENIED))
    early = timeline(ASKED, said(SEND), WOKEN, said(OTHER))
    assert "it was woken while 1 of its calls waited" in wrong_decisions(both, early, decider())


def test_a_decision_that_was_confirmed_is_not_lost_and_none_is_missing() -> None:
    none = replace(journal(None, None, has_effect=False), decisions={})
    assert wrong_decisions(none, timeline(), decider()) == f"decisions that were confirmed are gone: ['{SEND}']"
    asked = replace(none, decisions={OTHER: decision(OTHER, None)})
    patient = decider()
    patient.acknowledged = set()
    assert "still wait for a decision" in wrong_decisions(asked, timeline(ASKED), patient)
    assert wrong_decisions(none, timeline(ASKED), patient) == "2 decisions of its last wait are missing"
