"""Reads over bare streams what the server has while nothing is open, as is most often so.

The HTTP library and the models of the API take longer to import than most of what doctor looks at.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode

from stigmer_cli.api.query import Parameters
from stigmer_cli.doctor.facts.facts import ExecutionsSeen
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import StigmerError
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.stack.http_get import HttpAnswer, http_get

PAGE = 500
REPORT_S = 0.9
"""How long the report of what is stuck may take. The server takes less than half of that, and reports what it could
not look at."""

OK = 200

Body = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """How to call the server: its URL, the token, and the authority to trust (None: the system's).

    `is_insecure_allowed` is STIGMER_INSECURE_HTTP.
    """

    url: str
    token: str | None
    ca_file: str | None = None
    is_insecure_allowed: bool = False


async def probe_quiet_server(caller: Caller) -> ExecutionsSeen | None:
    """What the server has beside executions; None where `probe_executions` has to look, which tells what is wrong.

    That is where an execution is open, an agent has a tool server, or an answer cannot be understood.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, StigmerError):
        if await _list_items(caller, "/v1/executions", {"phase": [Phase.PENDING, Phase.IN_PROGRESS], "limit": 1}):
            return None
        specs = [_object(item, "spec") for item in await _list_items(caller, "/v1/agents", {"limit": PAGE})]
        if any(spec.get("tools") for spec in specs):
            return None
        models = tuple(sorted({_text(spec, "model") for spec in specs}))
        secrets = await _find_secrets(caller)
        if await _is_report_empty(caller):
            return ExecutionsSeen(models=models, secrets=secrets)
    return None


async def _find_secrets(caller: Caller) -> frozenset[str]:
    """The names of the secrets; none where the server does not know what that is."""
    answer = await _get(caller, "/v1/secrets", {})
    return frozenset(_text(item, "name") for item in _items(answer)) if answer.status == OK else frozenset()


async def _is_report_empty(caller: Caller) -> bool:
    """Whether nothing is stuck; a report that does not come in time would not name what is not open, either."""
    try:
        async with FairTimeout(REPORT_S):
            report = await _get(caller, "/v1/stuck", {})
    except TimeoutError:
        return True
    is_whole = report.body.get("isWhole") is True and report.body.get("isJudged") is True
    return report.status == OK and is_whole and report.body.get("groups") == []


async def _list_items(caller: Caller, path: str, query: Parameters) -> Sequence[Body]:
    answer = await _get(caller, path, query)
    if answer.status != OK:
        raise ValueError("no list")
    return _items(answer)


async def _get(caller: Caller, path: str, query: Parameters) -> HttpAnswer:
    return await http_get(
        f"{caller.url.rstrip('/')}{path}?{urlencode(query, doseq=True)}",
        caller.token,
        ca_file=caller.ca_file,
        is_insecure_allowed=caller.is_insecure_allowed,
    )


def _items(answer: HttpAnswer) -> Sequence[Body]:
    items = answer.body["items"]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise TypeError("no list")
    return items


def _object(body: Body, name: str) -> Body:
    found = body[name]
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no object")
    return found


def _text(body: Body, name: str) -> str:
    found = body[name]
    if not isinstance(found, str):
        raise TypeError(f"{name} is no text")
    return found
