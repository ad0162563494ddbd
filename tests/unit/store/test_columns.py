"""Column types: moments lose nothing, and what cannot be stored is refused."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stigmer_cli.errors import RequestError
from stigmer_cli.store.columns import check_text, micros, moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_comes_back_to_the_microsecond(value: datetime) -> None:
    assert moment(micros(value)) == value


def test_a_moment_counts_microseconds_since_1970_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert micros(datetime(1970, 1, 1, 2, 0, 1, 5, tzinfo=east)) == 1_000_005
    assert micros(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -1_000_000


@pytest.mark.parametrize(("text", "why"), [("a\0", "NUL"), ("\udfff", "surrogate")])
def test_a_text_that_one_database_cannot_hold_is_refused_by_both(text: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        check_text(text)


def test_any_other_text_passes() -> None:
    assert check_text("ZWJ \u200d, RTL \u202e, fox 🦊, \x1b[31m") == "ZWJ \u200d, RTL \u202e, fox 🦊, \x1b[31m"
