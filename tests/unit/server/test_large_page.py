"""A long page is sent in pieces, with the same body as one that is sent at once."""

from dataclasses import replace

import pytest
from starlette.responses import StreamingResponse

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.resources import ExecutionPage
from stigmer_cli.server.large_page import LARGE_CHARS, pieces_of, send_in_pieces
from tests.support.execution_rows import row

ODD = 'quotes ", brackets "items":[ and [x', "\u2028 and others \U0001f600"


def page_of(number: int, *, message: str = " ".join(ODD), total: int | None = None) -> ExecutionPage:
    items = [execution_resource(replace(row(), message=message, output=message)) for _ in range(number)]
    return ExecutionPage(items=items, next_cursor='"items":[', total=total)


@pytest.mark.parametrize("page", [page_of(0), page_of(1), page_of(3, total=7)])
async def test_the_pieces_are_the_page(page: ExecutionPage) -> None:
    assert "".join([piece async for piece in pieces_of(page)]) == page.model_dump_json(by_alias=True)


async def test_each_execution_is_a_piece_of_its_own() -> None:
    assert len([piece async for piece in pieces_of(page_of(3))]) == 2 + 3


def test_only_a_long_page_is_sent_in_pieces() -> None:
    short, long = page_of(2), page_of(2, message="x" * (LARGE_CHARS // 4))
    assert send_in_pieces(short) is short
    assert isinstance(send_in_pieces(long), StreamingResponse)
