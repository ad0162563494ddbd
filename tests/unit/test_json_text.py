"""JSON text from elsewhere: what is no JSON, though Python's reader takes it, is refused with the reason."""

import pytest

from stigmer_cli.json_text import dump_json, read_json

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


@pytest.mark.parametrize("text", ["1e308", "-0.0", "12345678901234567890", '"\\ud800"', '{"a":[1,null,true]}'])
def test_what_is_read_can_be_written_again(text: str) -> None:
    assert read_json(dump_json(read_json(text))) == read_json(text)


def test_bytes_may_begin_with_a_mark_of_their_order() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
