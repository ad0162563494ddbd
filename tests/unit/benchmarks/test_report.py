"""The rows of a benchmark, their verdicts, and that the manual shows the figures that were kept."""

import json

import pytest

from tests.benchmarks.__main__ import find_benchmarks
from tests.benchmarks.report import (
    PAGE,
    Benchmark,
    Row,
    figures_to_json,
    fill_page,
    format_table,
    interleave,
    medians,
    read_figures,
    row_from_json,
)

SLOW = Row(what="a", measured=30.0, unit="ms", reference="b", beside=10.0, budget=2.0)
FAST = Row(what="a", measured=15.0, unit="ms", reference="b", beside=10.0, budget=2.0)
RATE = Row(what="c", measured=9.0, unit="a second", reference="d", beside=10.0, budget=0.8, is_rate=True)
LIMIT = Row(what="e", measured=1234.5, unit="kB", budget=2000)
LOST = Row(what="f", measured=2.0, unit="s", reference="`other start`", beside=1.0, rival="other")
TABLE = """\
| what | measured | beside | ratio | budget | |
|---|---|---|---|---|---|
| a | 30.0 ms | b: 10.0 ms | 3.00 | <= 2 | NOT met |
| a | 15.0 ms | b: 10.0 ms | 1.50 | <= 2 | met |
| c | 9.00 a second | d: 10.0 a second | 0.90 | >= 0.8 | met |
| e | 1,234 kB |  |  | <= 2000 kB | met |
| f | 2.00 s | `other start`: 1.00 s | 2.00 |  | other wins |"""


def test_a_table_says_of_each_figure_beside_what_and_whether_its_budget_is_kept() -> None:
    assert format_table([SLOW, FAST, RATE, LIMIT, LOST]) == TABLE


@pytest.mark.parametrize("row", [SLOW, FAST, RATE, LIMIT, LOST])
def test_a_row_is_the_same_after_a_round_trip_through_json(row: Row) -> None:
    assert row_from_json(json.loads(json.dumps(row.to_json()))) == row


def test_a_rate_that_is_higher_wins_over_a_rival() -> None:
    assert Row(what="g", measured=3, unit="a second", beside=2, rival="other", is_rate=True).verdict == "Stigmer wins"


def test_interleaved_cases_run_in_turn() -> None:
    order: list[str] = []
    samples = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b", "a", "b"]
    assert {name: len(values) for name, values in samples.items()} == {"a": 2, "b": 2}
    assert medians({"a": [3.0, 1.0, 2.0]}) == {"a": 2.0}


def test_only_what_stands_between_markers_is_replaced() -> None:
    figures = {"x": figures_to_json(Benchmark(name="x", about="", run=lambda _: []), [LIMIT], is_quick=False)}
    page = "before\n<!-- figures: x -->\nold\n<!-- end of figures -->\nafter\n"
    filled = fill_page(page, figures)
    assert filled == f"before\n<!-- figures: x -->\n{format_table([LIMIT])}\n<!-- end of figures -->\nafter\n"
    assert fill_page(filled, figures) == filled
    assert fill_page(page, {}) == page, "nothing was measured yet"
    with pytest.raises(ValueError, match="the figures of x have no end"):
        fill_page("<!-- figures: x -->", figures)


def test_the_manual_shows_the_figures_that_were_kept() -> None:
    text = PAGE.read_text()
    assert fill_page(text, read_figures()) == text


def test_every_benchmark_has_a_name_of_its_own_and_the_kept_figures_are_of_whole_runs() -> None:
    known = find_benchmarks()
    assert {"start", "stack"} <= set(known)
    kept = read_figures()
    assert set(kept) <= set(known)
    assert [name for name, found in kept.items() if found["quick"]] == []
