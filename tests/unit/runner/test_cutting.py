"""Results of calls that are cut for a model."""

from typing import Any

from pydantic_ai.messages import BinaryContent, ModelMessage, ModelRequest, ModelResponse, TextPart, ToolReturnPart

from stigmer_cli.runner.agent.cutting import CHARS_MIN, SHORTER, cut_result, find_shorter

IMAGE = BinaryContent(data=b"\x89PNG\r\n\x1a\n" * 1_000, media_type="image/png")


def returned(content: object) -> list[ModelMessage]:
    return [
        ModelRequest.user_text_prompt("x" * 1_000_000),
        ModelResponse(parts=[TextPart(content="y" * 1_000_000)]),
        ModelRequest(parts=[ToolReturnPart(tool_name="t", content=content, tool_call_id="c")]),
    ]


def test_a_text_keeps_its_beginning_and_its_end() -> None:
    cut = cut_result("a" * 60 + "b" * 60, 20)
    assert isinstance(cut, str)
    assert cut.startswith("a" * 10 + "\n(here 100 of 120 characters are left out, ")
    assert cut.endswith("ask for less at a time)\n" + "b" * 10)


def test_what_is_short_enough_stays_as_it_is() -> None:
    for content in ("a" * 20, {"n": 1}, ["a" * 20, IMAGE]):
        assert cut_result(content, 20) == content


def test_a_value_is_cut_as_json_and_of_several_parts_each_has_its_share() -> None:
    assert str(cut_result({"rows": ["é"] * 50}, 20)).startswith('{"rows": [\n(here ')
    cut: Any = cut_result([IMAGE, "short", "z" * 1_000], 300)
    assert cut[:2] == [IMAGE, "short"]
    assert "here 900 of 1,000 characters" in cut[2]
    assert str(cut_result(["a" * 5] * 10, 1)).count("here 5 of 5 characters are left out") == 10


def test_results_become_shorter_until_they_are_not_what_is_too_long() -> None:
    assert find_shorter(returned("x" * 8_000)) == 8_000 // SHORTER
    assert find_shorter(returned(["x" * 4_000, IMAGE, {"n": "y" * 3_993}])) == 2_000
    assert find_shorter(returned("x" * (SHORTER * CHARS_MIN - 1))) is None
    assert find_shorter(returned(IMAGE)) is None
    assert find_shorter([]) is None
    assert find_shorter(returned(cut_result("x" * 80_000, CHARS_MIN))) is None
