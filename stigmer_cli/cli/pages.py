"""Reads a list that the server gives page by page."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class Page(Protocol[Item_co]):
    """A page of a list; `next_cursor` is None behind the last one."""

    @property
    def items(self) -> Sequence[Item_co]:
        """What is on it."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """Where the next one begins."""
        ...


async def fetch_items(
    fetch: Callable[[int, str | None], Awaitable[Page[Item]]], *, limit: int, page_max: int
) -> tuple[Sequence[Item], bool]:
    """Up to `limit` items, and whether there are more; `fetch` reads so many, at most `page_max`, from a cursor on."""
    items: list[Item] = []
    cursor = None
    while len(items) < limit:
        page = await fetch(min(page_max, limit - len(items)), cursor)
        items.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    return items, cursor is not None
