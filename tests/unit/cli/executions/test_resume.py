"""What `resume` makes of the server's answers: what went on along with another one is done."""

from pathlib import Path

import pytest

from stigmer_cli.api.resume import ResumeItem, ResumeOutcome
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.resume import _Account
from stigmer_cli.domain.phase import Phase
from tests.support.fakes_temporal import LoopClock


def item(id_: str, outcome: ResumeOutcome, *along: str) -> ResumeItem:
    return ResumeItem(id=id_, phase=Phase.PENDING, outcome=outcome, reason="as the server says", along=list(along))


@pytest.mark.parametrize("second", [ResumeOutcome.OPEN, ResumeOutcome.ENDED])
def test_of_a_parent_and_its_child_that_are_both_named_the_second_counts_as_resumed(second: ResumeOutcome) -> None:
    cli = Cli(environ={}, user_home=Path("/nowhere"), clock=LoopClock())
    account = _Account(is_dry_run=False)
    account.add(cli, item("wex-1", ResumeOutcome.RESUMED, "aex-1"))
    account.add(cli, item("aex-1", second))
    assert account.exit_code == 0
    assert account.counts == {ResumeOutcome.RESUMED: 2}
    account.add(cli, item("aex-2", second))
    assert account.exit_code == 1
    assert account.counts[second] == 1


def test_an_answer_names_what_goes_along_only_where_there_is_some() -> None:
    assert "along" not in item("wex-1", ResumeOutcome.RESUMED).to_wire()
    assert item("wex-1", ResumeOutcome.RESUMED, "aex-1").to_wire()["along"] == ["aex-1"]
