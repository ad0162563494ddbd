"""The order of causes: it follows from what checks need, and from what may make them fail besides."""

from graphlib import TopologicalSorter

from stigmer_cli.doctor.catalog import BY_CODE, CAUSES_FIRST, CHECKS
from stigmer_cli.doctor.causes import IGNORED, MAY_MAKE_FAIL


def test_the_order_of_all_causes() -> None:
    assert (
        *("STG507", "STG506", "STG508", "STG501", "STG509", "STG101", "STG102", "STG111", "STG129", "STG301"),
        *("STG302", "STG103", "STG201", "STG215", "STG202", "STG203", "STG112", "STG117", "STG104", "STG105", "STG106"),
        *("STG121", "STG120", "STG125", "STG108", "STG303", "STG205", "STG204", "STG206", "STG212", "STG107"),
        *("STG119", "STG113", "STG114", "STG115", "STG207"),
    ) == CAUSES_FIRST


def test_what_a_check_needs_comes_before_it() -> None:
    place = {code: number for number, code in enumerate(CAUSES_FIRST)}
    wrong = {
        (check.code, need)
        for check in CHECKS
        for need in check.needs
        if check.code in place and place[need] > place[check.code]
    }
    assert wrong == IGNORED


def test_what_may_make_a_check_fail_is_a_check_that_it_does_not_need_and_never_goes_in_a_circle() -> None:
    for code, causes in MAY_MAKE_FAIL.items():
        assert {code, *causes} <= set(BY_CODE)
        assert not set(causes) & set(BY_CODE[code].needs)
    edges = {(check.code, need) for check in CHECKS for need in check.needs}
    edges |= {(code, cause) for code, causes in MAY_MAKE_FAIL.items() for cause in causes}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for code, cause in edges - IGNORED:
        sorter.add(code, cause)
    assert set(sorter.static_order()) == set(BY_CODE)
