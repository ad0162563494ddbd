"""The server refuses arguments that no call can have before it records a decision."""

import asyncio
from typing import Any

import pytest

from stigmer_cli.api.decisions import CallName, DecideRequest
from stigmer_cli.domain.waiting import Verdict
from stigmer_cli.errors import RequestError
from stigmer_cli.server.routes.waits import decide

UNREACHED: Any = None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"x": NaN}', "the arguments are not valid JSON: NaN is not allowed"),
        ('{"x": 1e999}', "the arguments are not valid JSON: the number 1e999 is too large"),
        ('"x"', "the arguments are not a JSON object"),
    ],
)
def test_arguments_that_are_no_json_object_are_refused(arguments: str, said: str) -> None:
    calls = [CallName(id="aex-1", step="/turns/0/calls/0")]
    request = DecideRequest(calls=calls, verdict=Verdict.APPROVED, arguments=arguments)
    with pytest.raises(RequestError, match=said):
        asyncio.run(decide(request, UNREACHED))
