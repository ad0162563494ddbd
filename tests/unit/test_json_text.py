"""JSON text from elsewhere: what is no JSON, though Python's reader takes it, is refused with the reason."""

import pytest

from stigmer_cli.api.workflow_values import parse_kept
from stigmer_cli.json_text import dump_json, read_json, read_whole

REFUSED = {
    "NaN": "NaN is not allowed",
    '{"a": [-Infinity]}': "-Infinity is not allowed",
    "1e400": "the number 1e400 is too large",
    '{"a": -1.5e999}': "the number -1.5e999 is too large",
    "[" * 100_000: "it is nested too deeply",
}


@pytest.mark.parametrize("text", REFUSED, ids=[text[:20] for text in REFUSED])
def test_what_json_cannot_say_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[text]):
        read_json(text)


@pytest.mark.parametrize("text", ["1e308", "-0.0", "12345678901234567890", '"\\ud83d\\ude00"', '{"a":[1,null,true]}'])
def test_what_is_read_can_be_written_again(text: str) -> None:
    assert read_json(dump_json(read_json(text))) == read_json(text)


def test_bytes_may_begin_with_a_mark_of_their_order() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_half_a_character_becomes_a_question_mark_and_a_whole_one_stays() -> None:
    given = {"cut \ud83d": ["\ude00", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")]}
    whole = {"cut ?": ["?", "😀"]}
    assert read_json(dump_json(given)) == whole
    assert read_whole('{"cut \\ud83d": ["\\ude00", "\\ud83d\\ude00"]}') == whole


def test_what_a_store_has_kept_of_half_a_character_is_shown() -> None:
    assert parse_kept('{"a": "cut \\ud83d"}') == {"a": "cut ?"}


def test_what_a_store_has_kept_too_deep_to_be_sent_is_shown_as_text() -> None:
    deep = "[" * 300 + "]" * 300
    assert parse_kept(deep) == deep


def test_what_is_nested_too_deeply_is_no_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        read_whole("[" * 100_000)
