"""YAML 1.2 as JSON, with places."""

import json

import pytest

from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.yaml_json import Malformed, read_yaml

ALIASES = "\n".join(
    f"{name}: &{name} [{','.join([before] * 8)}]"
    for before, name in [("1", "a"), *((f"*{x}", y) for x, y in ("ab", "bc", "cd", "de", "ef"))]
)
"""Six lines that stand for 8 ** 6 values."""


def _read(text: str) -> Json:
    [found] = read_yaml(text)
    return found.data


def test_words_mean_what_yaml_1_2_says() -> None:
    text = "{on: yes, off: no, time: 12:30:00, day: 2026-11-26, old: 010, octal: 0o10, hex: 0xff, t: True, n: ~, e: , "
    text += "f: 1e3, s: '1', v: 1.0.3}"
    assert _read(text) == {
        "on": "yes",
        "off": "no",
        "time": "12:30:00",
        "day": "2026-11-26",
        "old": 10,
        "octal": 8,
        "hex": 255,
        "t": True,
        "n": None,
        "e": None,
        "f": 1000.0,
        "s": "1",
        "v": "1.0.3",
    }


def test_json_is_yaml() -> None:
    value = {"a": [1, -2.5, None, True, {"b": "ü\n\u2028", "c": {}}], "d": []}
    assert _read(json.dumps(value)) == value


def test_each_key_and_item_has_its_place() -> None:
    [found] = read_yaml("a:\n  - b: 1\n  - c\n")
    assert found.places == {(): (1, 1), ("a",): (1, 1), ("a", "0"): (2, 5), ("a", "0", "b"): (2, 5), ("a", "1"): (3, 5)}
    assert found.find(("a", "0", "b", "x")) == (2, 5)


def test_empty_documents_are_left_out() -> None:
    assert [found.data for found in read_yaml("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n")] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: [1", (2, 1), "expected ',' or ']'"),
        ("a: 1\na: 2", (2, 1), "the key 'a' appears twice"),
        ("? [a]\n: 1", (1, 3), "a key is a text"),
        ("a: .nan", (1, 4), ".nan is no number of JSON"),
        ("a: -.inf", (1, 4), "-.inf is no number of JSON"),
        ("[" * 65 + "]" * 65, (1, 65), "nested more than 64 deep"),
        ("a: &a [*a]", (1, 4), "more than 200,000 values, or aliases nested too deep"),
        (ALIASES, (1, 8), "more than 200,000 values"),
        ("a: !!int abc", (1, 4), "'abc' is no int"),
        ('a: !!float ""', (1, 4), "'' is no float"),
        (f"a: {'9' * 5_000}", (1, 4), "is no int"),
        (f"a: &a {'x' * 10_000}\nb: [{','.join(['*a'] * 200)}]", (1, 4), "more than 1,048,576 characters of text"),
        ("a: \x01", (1, 1), "control characters are not allowed"),
    ],
)
def test_what_no_json_can_say_is_refused_with_its_place(text: str, place: tuple[int, int], words: str) -> None:
    with pytest.raises(Malformed) as caught:
        list(read_yaml(text))
    assert words in caught.value.text
    if "values" not in words:
        assert caught.value.place == place
