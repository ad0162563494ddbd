"""What an error of a call means."""

import pytest

from stigmer_cli.tool_server.rpc_error import DATA_CHARS_MAX, Meaning, Reading, describe_data, read_error

LOST, NOT_TAKEN, ANSWERED = Meaning.LOST, Meaning.NOT_TAKEN, Meaning.ANSWERED


@pytest.mark.parametrize(
    ("code", "message", "status", "meaning"),
    [
        (-32_000, "Connection closed", 0, LOST),
        (-32_000, "SSE stream ended without a response", 0, LOST),
        (-32_000, "SSE stream ended and reconnection attempts were exhausted", 0, LOST),
        (-32_600, "server answered a request with 202 Accepted", 0, LOST),
        (-32_600, "Unexpected content type: text/html", 0, LOST),
        (-32_700, "Failed to parse JSON response: 1 validation error", 0, LOST),
        (-32_700, "Failed to parse SSE message: 1 validation error", 0, LOST),
        (-32_603, "Server returned an error response", 0, LOST),
        (-32_603, "Server returned an error response", 502, LOST),
        (-32_603, "Server returned an error response", 429, NOT_TAKEN),
        (-32_601, "Not Found", 404, NOT_TAKEN),
        (-32_600, "Session terminated", 404, NOT_TAKEN),
        (-32_001, "Session not found", 404, NOT_TAKEN),
        (-32_000, "Bad Request: Server not initialized", 400, NOT_TAKEN),
        (-32_603, "Too many requests", 429, NOT_TAKEN),
        (-32_600, "Redirect to https://other/mcp not followed; use that URL", 0, NOT_TAKEN),
        (-32_000, "SSE stream failed: Server-sent event exceeded the 17825792 byte limit.", 0, ANSWERED),
        (-32_602, "Invalid arguments", 400, ANSWERED),
        (-32_000, "the mailbox is full", 0, ANSWERED),
        (-32_001, "Session not found", 0, ANSWERED),
        (-32_603, "the disk is full", 500, ANSWERED),
    ],
)
def test_an_error_over_http_means(code: int, message: str, status: int, meaning: Meaning) -> None:
    assert read_error(code, message, status=status, is_http=True).meaning is meaning


@pytest.mark.parametrize(
    "message", ["Session not found", "Not Found", "Failed to parse JSON response: x", "SSE stream failed: x"]
)
def test_what_a_child_says_is_its_own_word_whatever_it_is(message: str) -> None:
    assert read_error(-32_000, message, status=0, is_http=False) == Reading(meaning=ANSWERED, words=message)


def test_a_child_that_has_ended_has_not_answered() -> None:
    assert read_error(-32_000, "Connection closed", status=0, is_http=False).meaning is LOST


def test_a_result_that_is_too_long_is_said_so_to_the_model() -> None:
    error = "SSE stream failed: Server-sent event exceeded the 17825792 byte limit."
    assert read_error(-32_000, error, status=0, is_http=True).words == (
        "the result is too long to be recorded: 8,388,608 bytes as JSON is the most; it was performed all the"
        " same: ask for less at a time, such as one page"
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, ""),
        ({}, ""),
        ("User(#1) expected", ": User(#1) expected"),
        ([{"url": "https://ä"}], ': [{"url": "https://ä"}]'),
        ("x" * 10_000, ": " + "x" * DATA_CHARS_MAX),
    ],
)
def test_what_an_error_says_beside_its_message_is_told_too(data: object, words: str) -> None:
    assert describe_data(data) == words
