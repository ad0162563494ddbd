"""`--limit` as it is typed."""

import pytest

from stigmer_cli.api.resume import ResumeRequest
from stigmer_cli.api.waiting import WaitingBody
from stigmer_cli.cli.executions.limits import describe_way_on, parse_limits, split_limits
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import ConfigError
from tests.support.fakes import START


def test_each_name_takes_its_number() -> None:
    found = parse_limits(["tokens=20000", "money=0.5", "seconds=90", "turns=3", "toolCalls=0"])
    assert found is not None
    assert found.to_document() == {"tokens": 20000, "money": 0.5, "seconds": 90.0, "turns": 3, "toolCalls": 0}
    assert parse_limits([]) is None


@pytest.mark.parametrize(
    ("wait_for", "cause", "words"),
    [
        (WaitFor.LIMIT, "it has used 50 tokens, and its limit is 40 (spec.limits.tokens)", " --limit tokens=N"),
        (WaitFor.LIMIT, "something of a later version", " --limit NAME=N"),
        (WaitFor.RETRIES, "no room", ""),
    ],
)
def test_a_pause_says_what_has_it_go_on(wait_for: WaitFor, cause: str, words: str) -> None:
    waiting = WaitingBody(wait_for=wait_for, since=START, cause=cause)
    assert describe_way_on("aex-1", waiting) == f"stigmer executions resume aex-1{words}"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["token=5"], "'token=5' is not a limit: write NAME=N, with one of turns, .*; did you mean tokens?"),
        (["tokens"], "'tokens' is not a limit: write NAME=N"),
        (["tokens=1.5"], "the limit tokens is a whole number, more than 0, and not '1.5'"),
        (["money=nan"], "the limit money is a number, more than 0, and not 'nan'"),
        (["seconds=0"], "the limit seconds is a number, more than 0, and not '0'"),
        (["turns=1", "turns=2"], "the limit turns is given twice"),
    ],
)
def test_what_is_no_limit_is_refused(typed: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_limits(typed)


def test_a_limit_can_be_taken_away_where_an_execution_goes_on() -> None:
    found, lifted = split_limits(["money=none", "turns=3"])
    assert found is not None
    assert (found.to_document(), lifted) == ({"turns": 3}, ["money"])
    assert split_limits(["turns=none"]) == (None, ["turns"])
    assert split_limits(None) == (None, [])
    for typed in (["turns=none", "turns=none"], ["turns=1", "turns=none"]):
        with pytest.raises(ConfigError, match="the limit turns is given twice"):
            split_limits(typed)


def test_an_older_server_is_told_of_limits_that_are_taken_away_only_where_there_are_some() -> None:
    assert "lifted" not in ResumeRequest(ids=["aex-1"]).to_wire()
    assert ResumeRequest(ids=["aex-1"], lifted=["money"]).to_wire()["lifted"] == ["money"]
