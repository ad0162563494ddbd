"""The server refuses a result that no step can have before it resumes an execution with it."""

import asyncio
from typing import Any

import pytest

from stigmer_cli.api.resume import ResumeRequest
from stigmer_cli.errors import RequestError
from stigmer_cli.server.routes.resume import _read_result, resume_executions

UNREACHED: Any = None


@pytest.mark.parametrize("result", ["NaN", '{"x": 1e999}', "{", "[" * 100_000], ids=["nan", "large", "half", "deep"])
def test_a_result_that_is_no_json_is_refused(result: str) -> None:
    request = ResumeRequest(ids=["aex-1"], skip="/turns/0/calls/0", result=result)
    with pytest.raises(RequestError, match="the result is no JSON"):
        asyncio.run(resume_executions(request, UNREACHED))


def test_a_result_with_half_a_character_is_kept_as_a_runner_can_read_it() -> None:
    assert _read_result('{"cut": "a\\ud83d"}') == '{"cut":"a?"}'
