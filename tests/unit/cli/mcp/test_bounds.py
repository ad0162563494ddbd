"""A result is cut to fit, the mildest way first, and says what was cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stigmer_cli.cli.mcp.bounds import RESULT_MAX, bound_result, measure

TEXTS = st.text(max_size=10).map(lambda text: text * 600)
ITEMS = st.lists(st.dictionaries(st.sampled_from(["text", "why"]), TEXTS, max_size=2), max_size=60)


def test_a_short_result_stays_as_it_is() -> None:
    result = {"cut": "", "lines": ["one", "two"]}
    assert bound_result(result, more="Ask again.") == result


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    found = bound_result({"cut": "", "output": "x" * 60_000}, more="Ask again.")
    assert found["output"] == "x" * 16_000 + "… [44,000 more characters]"
    assert found["cut"] == "The result was too long: texts are cut at 16,000 characters. Ask again."


@pytest.mark.parametrize(("is_newest_last", "first", "last"), [(False, 0, 26), (True, 473, 499)])
def test_a_long_list_loses_its_older_end(*, is_newest_last: bool, first: int, last: int) -> None:
    lines = [{"number": number, "text": "y" * 600} for number in range(500)]
    found = bound_result({"cut": "", "lines": lines}, more="Ask again.", is_newest_last=is_newest_last)
    kept = found["lines"]
    assert isinstance(kept, list)
    assert (kept[0]["number"], kept[-1]["number"]) == (first, last)
    assert found["cut"] == "The result was too long: of lines only 27 of 500 are here. Ask again."


def test_a_nested_object_is_cut_to_its_first_entries() -> None:
    found = bound_result({"cut": "", "evidence": {str(n): "z" * 3000 for n in range(90)}}, more="Ask again.")
    evidence = found["evidence"]
    assert isinstance(evidence, dict)
    assert len(evidence) == 30


@settings(max_examples=30)
@given(output=TEXTS, items=ITEMS, other=ITEMS)
def test_whatever_comes_fits(output: str, items: list[dict[str, str]], other: list[dict[str, str]]) -> None:
    result = {"cut": "", "output": output, "items": items, "events": other}
    assert measure(bound_result(result, more="Ask again.")) <= RESULT_MAX
