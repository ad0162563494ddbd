"""How an execution is named for short, and what is refused before any server is asked."""

import pytest

from stigmer_cli.domain.execution_reference import IdPart, Newest, Reference, check_reference, parse_reference
from stigmer_cli.errors import RequestError

WHOLE = "aex-01m8a17qxd736wey2ggsdc1wpt"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1wpt", IdPart(part="1wpt", prefix=None)),
        ("1WPT", IdPart(part="1wpt", prefix=None)),
        ("aex-01m8a", IdPart(part="01m8a", prefix="aex")),
        ("wex-01m8", IdPart(part="01m8", prefix="wex")),
        ("AEX-01M8", IdPart(part="01m8", prefix="aex")),
        (WHOLE.removeprefix("aex-"), IdPart(part=WHOLE.removeprefix("aex-"), prefix=None)),
        ("@last", Newest(is_failed=False, agent=None)),
        ("@last-failed", Newest(is_failed=True, agent=None)),
        ("@last:greeter", Newest(is_failed=False, agent="greeter")),
        ("@last-failed:agt-1", Newest(is_failed=True, agent="agt-1")),
    ],
)
def test_a_reference_is_a_part_of_an_id_or_the_newest(text: str, meant: Reference) -> None:
    assert parse_reference(text) == meant


@pytest.mark.parametrize(
    "text", ["", "1wp", "aex-", "aex-1wp", "agt-01m8a", "@", "@last-", "@last:", "@lst", "a b c d"]
)
def test_anything_else_is_refused_with_what_can_be_written(text: str) -> None:
    with pytest.raises(RequestError, match="four or more characters of its beginning or end, @last") as refused:
        parse_reference(text)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", [f"{WHOLE}0", f"{WHOLE[:-1]}é", "1wp%", "1wp_", "x" * 1000, "1w\npt"])
def test_no_pattern_and_nothing_longer_than_an_id_gets_through(text: str) -> None:
    with pytest.raises(RequestError):
        check_reference(text)


def test_a_whole_id_stays_as_it_is_and_capitals_are_forgiven() -> None:
    assert check_reference(WHOLE) == check_reference(WHOLE.upper()) == WHOLE
    assert check_reference("@last") == "@last"


def test_spaces_around_it_do_not_count() -> None:
    """As the CR of a list of ids that was written on Windows."""
    assert [check_reference(f"{text}\r") for text in (WHOLE, "1wpt", "@last")] == [WHOLE, "1wpt", "@last"]
    assert parse_reference(" 1wpt\n") == parse_reference("1wpt")


def test_a_part_with_its_kind_is_a_beginning_and_one_without_may_be_either() -> None:
    assert IdPart(part="01m8", prefix=None).beginnings == ("aex-01m8", "wex-01m8")
    assert IdPart(part="01m8", prefix=None).end == "01m8"
    assert IdPart(part="01m8", prefix="wex").beginnings == ("wex-01m8",)
    assert IdPart(part="01m8", prefix="wex").end is None
