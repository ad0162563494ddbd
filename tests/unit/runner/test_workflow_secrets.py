"""Secrets of a workflow: given, never recorded or told, and never the reason for another way."""

import json

from stigmer_cli.domain.phase import Phase
from stigmer_cli.secret_values import DELIVERED
from tests.support.workflow_reports import output_of
from tests.unit.runner.workflow_player import EXECUTION, Runner, play


def test_secrets_are_given_and_neither_recorded_nor_told() -> None:
    text = """
use: {secrets: [token, login]}
do:
  - a: {call: agent, with: {n: 1, say: '${ $secrets.token }', effect: repeatable}}
  - b: {call: agent, with: {n: 2, say: '${ $secrets.login.password }', takes: 60, effect: repeatable}}
"""
    secrets = {"token": "tok-12345678", "login": json.dumps({"username": "ada", "password": "pass-12345678"})}
    runner = Runner(text, secrets=secrets)
    play(runner, 30)
    written = " ".join(f"{kept.draft.input} {kept.result}" for kept in runner.row.journal.values())
    assert not [value for value in ("tok-12345678", "pass-12345678") if value in written]
    assert "[redacted]" in written
    runner.reports.secrets["token"] = "tok-87654321"
    play(runner, None)
    assert runner.service.asked == [1, 2, 2], "the step is the same"
    assert output_of(runner.row) == {"n": 2, "said": "[redacted]"}
    assert "tok-87654321" not in DELIVERED.redact("tok-87654321")


def test_a_secret_that_there_is_not_is_an_error_of_the_task_that_needs_it() -> None:
    text = "use: {secrets: [token]}\ndo: [{a: {set: {n: 1}}}, {b: {set: {t: '${ $secrets.token }'}}}]"
    row = play(Runner(text), None).row
    assert row.phase is Phase.FAILED
    assert row.error is not None
    assert row.error.startswith("Authorization Error (403): there is no secret token")


def test_a_name_that_no_secret_can_have_is_in_the_way_of_nothing_that_needs_no_secret() -> None:
    row = play(Runner(f"use: {{secrets: [{'x' * 600}]}}\ndo: [{{a: {{set: {{n: 1}}}}}}]"), None).row
    assert (row.phase, output_of(row)) == (Phase.COMPLETED, {"n": 1})


GUARDED = """
use: {secrets: [token]}
do:
  - login:
      try: [{a: {call: agent, with: {n: 1, say: '${ $secrets.token }'}}}]
      catch: {errors: {with: {status: 403}}, do: [{b: {call: agent, with: {n: 2}}}]}
  - last: {call: agent, with: {n: 3, takes: 60, effect: repeatable}}
"""


def test_a_secret_that_is_deleted_between_attempts_ends_the_execution_and_sends_it_no_other_way() -> None:
    runner = play(Runner(GUARDED, secrets={"token": "tok-12345678"}), 30)
    assert runner.service.asked == [1, 3]
    del runner.reports.secrets["token"]
    play(runner, None)
    assert (runner.row.phase, runner.service.asked) == (Phase.FAILED, [1, 3])
    assert runner.row.error is not None
    assert runner.row.error.startswith(
        "Authorization Error (403): the secret token, which this execution has had, is not there any more: set it, and"
        f" resume {EXECUTION}"
    )
    runner.reports.secrets["token"] = "tok-12345678"
    runner.row.phase = Phase.IN_PROGRESS  # as `resume` has it
    play(runner, None)
    assert (runner.row.phase, runner.service.asked) == (Phase.COMPLETED, [1, 3, 3])


def test_a_secret_that_is_set_between_attempts_sends_the_execution_no_other_way() -> None:
    runner = play(Runner(GUARDED), 30)
    assert runner.service.asked == [2, 3]
    runner.reports.secrets["token"] = "tok-12345678"
    play(runner, None)
    assert (runner.row.phase, runner.service.asked) == (Phase.COMPLETED, [2, 3, 3])


def test_a_secret_that_is_set_after_its_absence_ended_the_execution_is_used() -> None:
    text = "use: {secrets: [token]}\ndo: [{a: {call: agent, with: {n: 1, say: '${ $secrets.token }'}}}]"
    runner = play(Runner(text), None)
    assert runner.row.phase is Phase.FAILED
    runner.reports.secrets["token"] = "tok-12345678"
    runner.row.phase = Phase.IN_PROGRESS  # as `resume` has it
    play(runner, None)
    assert (runner.row.phase, runner.service.asked) == (Phase.COMPLETED, [1])


def test_every_text_in_a_secret_that_is_an_object_is_redacted() -> None:
    text = "use: {secrets: [login]}\ndo: [{a: {set: {x: '${ $secrets.login.ways[0].pin }'}}}]"
    runner = play(Runner(text, secrets={"login": json.dumps({"ways": [{"pin": "zebra-4711"}]})}), None)
    assert output_of(runner.row) == {"x": "[redacted]"}
