"""What a store knows about itself, as text under keys."""

from sqlalchemy import bindparam, select, update

from stigmer_cli.store.database import Database, whole
from stigmer_cli.store.tables import meta

_VALUE = select(meta.c.value).where(meta.c.key == bindparam("key"))


class MetaTable:
    """Values that all servers of one store share."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def get(self, key: str) -> str | None:
        """The value of `key`; None if nobody has set it."""
        async with self._database.reading() as connection:
            found: str | None = await connection.scalar(_VALUE, {"key": key})
            return found

    @whole
    async def set(self, key: str, value: str) -> None:
        """Make `value` the value of `key`."""
        async with self._database.writing() as writing:
            added = await writing.connection.execute(
                writing.backend.insert_or_skip(meta, "key"), {"key": key, "value": value}
            )
            if added.scalar_one_or_none() is None:
                await writing.connection.execute(update(meta).where(meta.c.key == key).values(value=value))

    @whole
    async def swap(self, key: str, expected: str, value: str) -> bool:
        """Make `value` the value of `key` if it is `expected` now; False, and nothing written, if it is not."""
        async with self._database.writing() as writing:
            swapped = await writing.connection.execute(
                update(meta).where(meta.c.key == key, meta.c.value == expected).values(value=value)
            )
            return swapped.rowcount == 1

    @whole
    async def get_or_set(self, key: str, value: str) -> str:
        """The value of `key`, which becomes `value` if nobody has set it; the first of several callers decides."""
        if (known := await self.get(key)) is not None:
            return known
        async with self._database.writing() as writing:
            await writing.connection.execute(writing.backend.insert_or_skip(meta, "key"), {"key": key, "value": value})
            found = await writing.connection.execute(_VALUE, {"key": key})
            return str(found.scalar_one())
