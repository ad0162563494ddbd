"""The catalog: complete, without circles, each check explained."""

import pkgutil
import re
from graphlib import TopologicalSorter

import pytest

from stigmer_cli.doctor import checks
from stigmer_cli.doctor.catalog import BY_CODE, CHECKS, MODULES, check_called, choose_checks, find_codes
from stigmer_cli.doctor.check import Category, Check, Found, Severity, check, passed
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.errors import NotFound, RequestError
from tests.unit.doctor.facts_builder import healthy
from tests.unit.test_house_rules import CROOKED

HUNDREDS = {"1": "Stack", "2": "Temporal", "3": "Store", "4": "Executions", "5": "Configuration"}


def test_codes_are_unique_and_their_hundred_is_their_category() -> None:
    assert len(BY_CODE) == len(CHECKS)
    assert {check.code: str(check.category) for check in CHECKS} == {code: HUNDREDS[code[3]] for code in BY_CODE}


def test_needs_exist_and_never_go_in_a_circle() -> None:
    graph = {check.code: set(check.needs) for check in CHECKS}
    assert {need for needs in graph.values() for need in needs} <= set(graph)
    order = list(TopologicalSorter(graph).static_order())
    assert set(order[:3]) == {"STG506", "STG507", "STG508"}, "whose home it is comes before what stands in it"
    assert order[3] == "STG501"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_every_check_explains_itself_in_sentences(check: Check) -> None:
    assert re.fullmatch(r"[A-Z`0-9].{80,}\.", check.explanation)
    assert not CROOKED.search(check.explanation)
    assert check.timeout_s <= (10.0 if check.code == "STG510" else 2.0), "only tool servers may take so long to start"


def test_every_category_has_checks() -> None:
    assert {check.category for check in CHECKS} == set(Category)


def test_only_runs_what_was_asked_for_and_all_that_it_needs() -> None:
    codes = [check.code for check in choose_checks(only=find_codes(["stg203"]), skip=frozenset())]
    assert codes == ["STG105", "STG201", "STG202", "STG203", "STG215", "STG501", "STG506", "STG507", "STG508"]


def test_a_category_stands_for_all_of_its_checks() -> None:
    assert find_codes(["store"]) == {"STG301", "STG302", "STG303", "STG304", "STG305"}


def test_skip_leaves_a_check_out() -> None:
    assert len(choose_checks(only=frozenset(), skip=find_codes(["STG505"]))) == len(CHECKS) - 1


def test_an_unknown_code_names_the_nearest() -> None:
    with pytest.raises(RequestError, match="there is no check 'STG2O1'; did you mean STG2"):
        find_codes(["STG2O1"])
    with pytest.raises(RequestError, match=r"there is no check 'temprol'; did you mean Temporal\?"):
        find_codes(["temprol"])
    with pytest.raises(NotFound, match="there is no check 'tomato'"):
        check_called("tomato")


def test_every_module_of_checks_is_listed() -> None:
    found = {name for _, name, _ in pkgutil.iter_modules(checks.__path__, f"{checks.__name__}.")}
    assert found <= {module.__name__ for module in MODULES}


async def test_a_check_is_its_function_with_the_docstring_as_explanation() -> None:
    @check("STG299", "an example", needs=("STG201",), severity=Severity.INFO)
    async def example(_: Facts) -> Found:
        """One sentence.

        Another one,
        on two lines.
        """
        return passed("well")

    assert (example.code, example.name, example.category) == ("STG299", "an example", Category.TEMPORAL)
    assert (example.needs, example.severity, example.timeout_s) == (("STG201",), Severity.INFO, 1.0)
    assert example.explanation == "One sentence. Another one, on two lines."
    assert await example(healthy()) == passed("well")
