"""What a search and a label are read as."""

import pytest

from stigmer_cli.domain.labels import LabelSelector, parse_label_selector
from stigmer_cli.domain.search import SearchTerm, parse_search


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("one two", [SearchTerm(text="one"), SearchTerm(text="two")]),
        ('a "b c" d', [SearchTerm(text="a"), SearchTerm(text="b c"), SearchTerm(text="d")]),
        ('a"b', [SearchTerm(text="a"), SearchTerm(text="b")]),
        ('"', None),
        ("dep*", [SearchTerm(text="dep*", is_prefix=True)]),
        ('"dep* now*"', [SearchTerm(text="dep* now*")]),
        ("a -- !! *", [SearchTerm(text="a")]),
        ("", None),
        ("***", None),
        ("x" * 1001, None),
        ("x " * 33, None),
    ],
)
def test_a_search_is_words_and_phrases_or_a_sentence(text: str, terms: list[SearchTerm] | None) -> None:
    if terms is not None:
        assert parse_search(text) == terms
        return
    with pytest.raises(ValueError, match=r"has no word to search for$|has at most .* this one has \d+$"):
        parse_search(text)


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("a", LabelSelector(key="a")),
        ("a=", LabelSelector(key="a", value="")),
        ("a=b=c", LabelSelector(key="a", value="b=c")),
    ],
)
def test_a_label_is_a_key_alone_or_with_a_value_and_is_written_as_it_was_read(
    text: str, selector: LabelSelector
) -> None:
    assert parse_label_selector(text) == selector
    assert str(selector) == text


@pytest.mark.parametrize("text", ["", "=b"])
def test_a_label_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no label"):
        parse_label_selector(text)
