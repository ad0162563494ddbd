"""What a secret may be called, what it may hold, and how a text refers to it."""

import pytest

from stigmer_cli.domain.secret import (
    NAME_CHARS_MAX,
    VALUE_BYTES_MAX,
    fill_references,
    find_name_problem,
    find_references,
    find_value_problem,
)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "a", "_x9", "A" * NAME_CHARS_MAX])
def test_a_name_is_like_that_of_a_variable(name: str) -> None:
    assert find_name_problem(name) == ""


@pytest.mark.parametrize("name", ["", "9a", "a-b", "a b", "ä", "a\n", "A" * (NAME_CHARS_MAX + 1), "a/../b"])
def test_another_name_is_refused(name: str) -> None:
    assert find_name_problem(name).startswith(f"{name!r} is no name for a secret")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("sixsix", ""),
        ("x" * VALUE_BYTES_MAX, ""),
        ("tiny!", "fewer than 6 characters"),
        ("x" * (VALUE_BYTES_MAX + 1), "more than 64 KiB"),
        ("ü" * (VALUE_BYTES_MAX // 2 + 1), "more than 64 KiB"),
        ("nul\0nul", "a NUL character"),
        ("half\ud800half", "not text in UTF-8"),
    ],
)
def test_a_value_is_text_of_six_characters_to_64_kib(value: str, problem: str) -> None:
    found = find_value_problem(value)
    assert problem in found
    assert bool(found) == bool(problem)
    assert value not in found


def test_references_are_found_and_filled() -> None:
    text = "Bearer ${secrets.A_KEY}, ${secrets.B}${secrets.A_KEY} $secrets.C {secrets.D} ${other.E}"
    assert find_references(text) == {"A_KEY", "B"}
    filled = fill_references(text, {"A_KEY": "${secrets.B}", "B": "b"})
    assert filled == "Bearer ${secrets.B}, b${secrets.B} $secrets.C {secrets.D} ${other.E}"


def test_a_name_that_cannot_be_one_is_found_too_so_that_it_can_be_refused() -> None:
    assert find_references("${secrets.no name}") == {"no name"}
