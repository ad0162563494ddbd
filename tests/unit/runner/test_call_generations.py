"""Calls that a person has made anew, as the attempts of a workflow make them."""

import json

from stigmer_cli.api.reports import GenerationsBody
from tests.unit.runner.workflow_player import Runner, play


def perform(text: str, generations: GenerationsBody | None) -> Runner:
    runner = Runner(text)
    runner.row.work = runner.row.work.model_copy(update={"generations": generations})
    return play(runner, None)


GENERATIONS = (None, GenerationsBody(present=1), GenerationsBody(present=1, kept={"/do/0/a": 0}))


def test_a_call_that_is_made_anew_has_another_key_and_one_that_had_begun_keeps_its_own() -> None:
    keys = [perform("do: [{a: {call: agent, with: {n: 1}}}]", one).service.keys for one in GENERATIONS]
    assert keys[0] == keys[2] != keys[1]


def test_an_event_that_is_emitted_anew_is_another_one() -> None:
    runners = [perform("do: [{a: {emit: {event: {with: {type: t}}}}}]", one) for one in GENERATIONS]
    ids = [json.loads(str(runner.row.journal["/do/0/a"].result))["id"] for runner in runners]
    assert ids[0] == ids[2] != ids[1]
