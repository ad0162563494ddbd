"""What a model is told of the results of calls."""

import base64

import pytest
from pydantic_ai.messages import BinaryContent, ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart

from stigmer_cli.runner.agent.contents import describe_failure
from stigmer_cli.runner.agent.told import tell, with_readable_files

PNG = b"\x89PNG\r\n\x1a\n and so on"
JPEG = b"\xff\xd8\xff\xe0 and so on"


@pytest.mark.parametrize(
    ("data", "said", "kind"),
    [
        (PNG, "image/png", "image/png"),
        (JPEG, "image/png", "image/jpeg"),
        (b"GIF89a", "image/x-icon", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp", "image/webp"),
    ],
)
def test_an_image_is_called_what_it_is(data: bytes, said: str, kind: str) -> None:
    image = BinaryContent(data=data, media_type=said)
    assert with_readable_files(["text", image]) == ["text", BinaryContent(data=data, media_type=kind)]


@pytest.mark.parametrize(
    ("data", "said"), [(b"\x00\xff", "image/x-icon"), (b"", "image/png"), (b"RIFF\xff\x00\x00\x00AVI ", "image/webp")]
)
def test_of_an_image_that_models_do_not_take_they_are_told(data: bytes, said: str) -> None:
    words = f"(a file of the type {said}, {len(data)} bytes, which models do not take)"
    assert with_readable_files(BinaryContent(data=data, media_type=said)) == words


def test_an_image_that_is_text_is_told_as_text() -> None:
    assert with_readable_files(BinaryContent(data=b"<svg/>", media_type="image/svg+xml")) == "<svg/>"


def test_a_file_in_a_result_is_an_image_or_is_told_of_and_never_base64() -> None:
    def file(data: bytes, **about: str) -> dict[str, object]:
        blob = base64.b64encode(data).decode()
        return {"type": "resource", "resource": {"uri": "file:///a", "blob": blob, **about}}

    assert with_readable_files([file(PNG), file(b"nonce"), file(b"PK\xff\x04", mimeType="application/zip")]) == [
        BinaryContent(data=PNG, media_type="image/png"),
        "nonce",
        "(a file of the type application/zip, 4 bytes, which models do not take)",
    ]
    broken = {"type": "resource", "resource": {"blob": "x", "mimeType": "image/png"}}
    assert with_readable_files(broken) == "(a file of the type image/png, 0 bytes, which models do not take)"


def test_what_is_no_image_stays_as_it_is() -> None:
    sound = BinaryContent(data=b"x", media_type="audio/wav")
    assert with_readable_files([sound, {"image": 1}, "text"]) == [sound, {"image": 1}, "text"]


def conversation() -> list[ModelMessage]:
    """Two turns, whose calls all have the same id, behind an exchange."""
    calls = ModelResponse(parts=[ToolCallPart(tool_name="t", args={}, tool_call_id="c") for _ in range(2)])
    results = [ToolReturnPart(tool_name="t", content=str(place), tool_call_id="c") for place in range(2)]
    asked = ModelRequest.user_text_prompt("go")
    answered = ModelRequest(parts=results)
    return [asked, ModelResponse(parts=[]), asked, calls, answered, calls, answered]


def test_only_the_call_whose_arguments_a_person_changed_is_told_of() -> None:
    told = tell(conversation(), first_turn=-1, edited={"/turns/1/calls/1": "{}"})
    contents = [part.content for message in told for part in message.parts if isinstance(part, ToolReturnPart)]
    note = "A person changed the arguments of this call: it was performed with {}"
    assert contents == ["0", "1", "0", f"{note}\n1"]


def test_a_result_that_is_no_text_has_the_note_before_it() -> None:
    calls = ModelResponse(parts=[ToolCallPart(tool_name="t", args={}, tool_call_id="c")])
    for content, expected in [({"n": 1}, [{"n": 1}]), (["a", {"n": 1}], ["a", {"n": 1}])]:
        result = ModelRequest(parts=[ToolReturnPart(tool_name="t", content=content, tool_call_id="c")])
        told = tell([calls, result], first_turn=0, edited={"/turns/0/calls/0": "{}"})
        [part] = told[-1].parts
        assert isinstance(part, ToolReturnPart)
        assert isinstance(part.content, list)
        assert part.content[1:] == expected


def test_the_bytes_of_an_image_are_not_told_as_text_where_the_call_failed() -> None:
    assert describe_failure(["no such page", BinaryContent(data=PNG, media_type="image/png")]) == (
        "no such page\n(image/png, 18 bytes)"
    )
    assert describe_failure(["a", "b"]) == "['a', 'b']"
