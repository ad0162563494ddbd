"""What a person may give as the arguments of a call."""

import pytest

from stigmer_cli.domain.waiting import check_arguments


def test_the_same_arguments_are_the_same_text() -> None:
    assert (
        check_arguments(' {"b": 1.5, "a": "\u00e9"} ')
        == check_arguments('{"a":"\\u00e9","b":1.5}')
        == '{"a":"é","b":1.5}'
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"x": NaN}', "are not valid JSON: NaN is not allowed"),
        ('{"x": [-Infinity]}', "are not valid JSON: -Infinity is not allowed"),
        ('{"x": 1e999}', "are not valid JSON: the number 1e999 is too large"),
        ("[1]", "are not a JSON object"),
        ("path", "are not valid JSON: Expecting value"),
        ('{"x":' * 100_000, "are not valid JSON: "),
        (f'{{"x": {"[" * 100}{"]" * 100}}}', "are nested deeper than 100 levels"),
    ],
)
def test_what_json_does_not_have_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="^" + said):
        check_arguments(text)
