"""Reads a body of the server for a list in the shortest time: without an HTTP library and without models."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from urllib.parse import urlencode

from stigmer_cli.api.listed import Body
from stigmer_cli.api.now_header import NOW_HEADER
from stigmer_cli.api.query import Parameters
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import Format
from stigmer_cli.errors import StigmerError
from stigmer_cli.stack.http_get import HttpAnswer, http_get

T = TypeVar("T")

OK = 200
PAGE_MAX = 200
"""What the server puts on one page at most; a longer list takes several requests, over one connection."""

SHORT_READ_MAX_S = 2.0


@dataclass(frozen=True, kw_only=True)
class ShortPage(Generic[T]):
    """The one page of a list; `total`: how many match in all, if that was asked for. `is_truncated`: there are more."""

    items: Sequence[T]
    is_truncated: bool
    total: int | None


def read_page(
    cli: Cli, path: str, parameters: Parameters, read_item: Callable[[Body], T], *, limit: int | None
) -> ShortPage[T] | None:
    """Up to `limit` items of the list at `path`, each read by `read_item`, for a table.

    None where the way with a client has to be taken, which repeats the request and tells what is wrong: for any other
    output than a table, a list that needs several requests, and whenever the answer cannot be understood.
    Raises what a problem says that is the answer, and as `Cli.find_server` does.
    """
    if cli.out.format is not Format.TABLE or limit is None:
        return None
    answer = _get(cli, path, {**parameters, "limit": min(limit, PAGE_MAX)})
    if answer is None:
        return None
    if answer.status != OK:
        _raise_problem(answer)
        return None
    with suppress(KeyError, TypeError, ValueError):
        page = _read_page(answer.body, read_item)
        if len(page.items) < limit and page.is_truncated:
            return None
        cli.servers_now = datetime.fromisoformat(answer.headers[NOW_HEADER.lower()])
        return page
    return None


def _get(cli: Cli, path: str, parameters: Parameters) -> HttpAnswer | None:
    settings, token = cli.find_server()
    given = {name: value for name, value in parameters.items() if value is not None}
    url = f"{settings.server_target.rstrip('/')}{path}?{urlencode(given, doseq=True)}"

    async def get() -> HttpAnswer:
        async with asyncio.timeout(SHORT_READ_MAX_S):
            return await http_get(
                url, token(), ca_file=settings.server_ca_file, is_insecure_allowed=settings.is_insecure_allowed
            )

    try:
        return asyncio.run(get())
    except (OSError, ValueError, StigmerError):
        return None


def _raise_problem(answer: HttpAnswer) -> None:
    """Raise the error that `answer` is; return where it is something else, as of a proxy."""
    from pydantic import ValidationError  # noqa: PLC0415 - what goes well does without models

    from stigmer_cli.api.problem import Problem, error_of  # noqa: PLC0415

    try:
        problem = Problem.model_validate(answer.body)
    except ValidationError:
        return
    raise error_of(problem)


def _read_page(body: Mapping[str, object], read_item: Callable[[Body], T]) -> ShortPage[T]:
    items, total = body["items"], body.get("total")
    if not isinstance(items, list) or not (total is None or isinstance(total, int)):
        raise TypeError("no page")
    return ShortPage(
        items=[read_item(item) for item in items], is_truncated=body.get("nextCursor") is not None, total=total
    )
