"""The summary of a reconcile has a place for whatever may become of an execution, done or planned."""

import pytest

from stigmer_cli.api.findings import Action, ReconcileOutcome
from stigmer_cli.api.reconcile import ReconcileSummary
from stigmer_cli.executions.reconcile.apply import OUTCOMES
from stigmer_cli.server.routes.reconcile import COUNTED_AS


@pytest.mark.parametrize("action", list(Action))
def test_every_action_that_a_dry_run_plans_is_counted(action: Action) -> None:
    outcome = OUTCOMES[action]
    assert COUNTED_AS.get(outcome, outcome) in ReconcileSummary.model_fields


@pytest.mark.parametrize("outcome", list(ReconcileOutcome))
def test_every_outcome_is_counted(outcome: ReconcileOutcome) -> None:
    assert COUNTED_AS.get(outcome, outcome) in ReconcileSummary.model_fields
