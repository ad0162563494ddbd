"""`--wait` with and without a value, and where it is no option."""

import math

import pytest

from stigmer_cli.cli.wait import expand_bare_wait, parse_wait
from stigmer_cli.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        (["doctor", "--wait"], ["doctor", "--wait=forever"]),
        (["doctor", "--wait=30", "-v"], ["doctor", "--wait=30", "-v"]),
        (
            ["executions", "reconcile", "--wait", "--", "aex-1"],
            ["executions", "reconcile", "--wait=forever", "--", "aex-1"],
        ),
        (["run", "greeter", "--", "--wait"], ["run", "greeter", "--", "--wait"]),
        (["run", "greeter", "--", "--", "--wait"], ["run", "greeter", "--", "--", "--wait"]),
        (["run", "--", "greeter", "say --wait"], ["run", "--", "greeter", "say --wait"]),
        ([], []),
    ],
)
def test_a_bare_wait_gets_its_value_before_two_dashes_and_is_an_argument_behind_them(
    typed: list[str], parsed: list[str]
) -> None:
    assert expand_bare_wait(typed) == parsed


def test_wait_is_never_for_ever_or_for_a_number_of_seconds() -> None:
    assert (parse_wait(None), parse_wait("forever"), parse_wait("2.5"), parse_wait("0")) == (None, math.inf, 2.5, 0.0)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", ""])
def test_a_wait_that_is_no_span_of_time_is_wrong_usage(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a span of time"):
        parse_wait(text)
