"""Executions that another one waits for: each names its parent, and its end has that one go on.

The commit that ends a child ends the wait of its parent. Both transactions lock the row of the parent before they look
at what the other one wrote, so that no end is overlooked. A parent that has ended waits for nobody: its children that
are still open are found, and ended, too.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Integer, and_, bindparam, or_, select
from ulid import ULID

from stigmer_cli.domain.identity import PREFIXES, ExecutionId, Kind, StoreId
from stigmer_cli.domain.phase import TERMINAL, Phase
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.store import transitions
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.statements import by_index, select_by_ids
from stigmer_cli.store.tables import HAS_PARENT, executions
from stigmer_cli.store.timers import forget_timers, wake_early

DEPTH_MAX = 8
"""How many executions may wait for each other in a chain."""

REPLACED_MAX = 20
"""How many executions may take the place of one, because a person had the step performed again that waits for it."""

REPLACED = "replaced"
"""In place of the hash of a request that is never to find its execution again."""

CHILD_BYTES = 10
CHILD_ENDED = "an execution that it waits for has ended"
WOKEN_BY_CHILD = frozenset({WaitFor.EXECUTION, WaitFor.EVENT, WaitFor.TIME})
"""A workflow that waits for several things at once shows one of them. One that is woken for nothing waits again."""

_ROW = executions.c
_PARENT = executions.alias("parents")
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_PHASES = select(_ROW.phase).where(_ROW.id.in_(_IDS))
_PARENT_OF = select(_ROW.parent).where(_ROW.id == bindparam("id"))
_ASKED = select(_ROW.id, _ROW.parent, _ROW.request_hash).where(_ROW.id.in_(_IDS))
_PARENTS_OF = select(_ROW.parent).where(_ROW.id.in_(_IDS), _ROW.parent.is_not(None))
_ENDED_PARENT = select(_PARENT.c.id).where(
    _PARENT.c.id == _ROW.parent, _PARENT.c.phase.in_([phase for phase in Phase if phase.is_terminal])
)
_IS_ABANDONED = (HAS_PARENT, _ROW.cancel_requested_at.is_(None), _ENDED_PARENT.exists())
_ABANDONED = (
    by_index(select(_ROW.id), "ix_executions_parent").where(*_IS_ABANDONED).limit(bindparam("limit", type_=Integer))
)
_STILL_ABANDONED = select_by_ids(select(_ROW.id)).where(*_IS_ABANDONED)
_OPEN_PARENT = select(_PARENT.c.id).where(
    _PARENT.c.id == _ROW.parent, _PARENT.c.phase.in_([phase for phase in Phase if not phase.is_terminal])
)

HAS_CHILD_ID: ColumnElement[bool] = or_(
    *(and_(_ROW.id >= bindparam(f"first_{kind}"), _ROW.id <= bindparam(f"last_{kind}")) for kind in Kind)
)
"""The id may be that of a child, by `list_child_bounds` of its parent: no index has the children that have ended."""

IS_UNAWAITED: ColumnElement[bool] = or_(_ROW.parent.is_(None), ~_OPEN_PARENT.exists())
"""No execution that has not ended may still have to read how it ended."""


@dataclass(frozen=True, kw_only=True)
class AskedChild:
    """An execution that was asked for as a child: who waits for it (None: nobody), and a hash of the request."""

    parent: ExecutionId | None
    request_hash: str

    @property
    def is_replaced(self) -> bool:
        """Whether the step that started it, and does not wait for it, is to start another one."""
        return self.request_hash == REPLACED


async def has_ended(writing: Writing, ids: Sequence[ExecutionId]) -> bool:
    """Whether one of `ids` has ended."""
    return any(Phase(phase) in TERMINAL for phase in await writing.connection.scalars(_PHASES, {"ids": list(ids)}))


async def ask_to_end(writing: Writing, ids: Sequence[ExecutionId]) -> set[ExecutionId]:
    """Cancel those of `ids` that no run works on, and note that the runs of the others have to be told.

    Returns the first ones. The rows of parents are locked with them, in one order: two that cancel a parent and its
    child do not wait for each other.
    """
    await _lock_with_parents(writing, ids)  # what ends one depends on where it stands: see ENDS
    await forget_timers(writing, ids)
    changed, asked = set[ExecutionId](), set[ExecutionId]()
    for end in transitions.ENDS:
        rest = {id_: end(now=writing.now) for id_ in ids if id_ not in changed}
        asked = await writing.change_all(rest) if rest else set()
        changed |= asked
    return changed - asked


async def _lock_with_parents(writing: Writing, ids: Sequence[ExecutionId]) -> None:
    parents = await writing.connection.execute(_PARENTS_OF, {"ids": list(ids)})
    await writing.lock_rows(list({*ids, *parents.scalars()}))


def list_child_ids(parent: ExecutionId, key: str, kind: Kind) -> Sequence[ExecutionId]:
    """The ids of all that the step may wait for one after the other. Those replaced may have been deleted since."""
    return [make_child_id(parent, key, kind, number) for number in range(REPLACED_MAX + 1)]


def make_child_id(parent: ExecutionId, key: str, kind: Kind, number: int = 0) -> ExecutionId:
    """The id of the execution that the step `key` of `parent` waits for, always the same one.

    It sorts with its parent. `number` counts those that were replaced, because a person had the step performed again.
    """
    replaced = f"\0{number}" if number else ""
    chance = hashlib.sha256(f"{parent}\0{key}{replaced}".encode()).digest()
    return _make_id(_moment_of(parent), chance[:CHILD_BYTES], kind)


def list_child_bounds(parent: ExecutionId) -> Mapping[str, str]:
    """The parameters of `HAS_CHILD_ID`: between which ids those are that `make_child_id` makes for `parent`."""
    moment, ends = _moment_of(parent), {"first": bytes(CHILD_BYTES), "last": b"\xff" * CHILD_BYTES}
    return {f"{end}_{kind}": _make_id(moment, chance, kind) for end, chance in ends.items() for kind in Kind}


def _moment_of(parent: ExecutionId) -> bytes:
    try:
        return ULID.from_str(parent.rpartition("-")[2].upper()).bytes[:-CHILD_BYTES]
    except ValueError:  # a person chose its id
        return bytes(6)


def _make_id(moment: bytes, chance: bytes, kind: Kind) -> ExecutionId:
    return ExecutionId(f"{PREFIXES[kind]}-{ULID.from_bytes(moment + chance)}".lower())


class ChildTable:
    """Children and parents. `wake_parents` becomes a part of each transaction of `database` that ends a child."""

    def __init__(self, database: Database, store: StoreId) -> None:
        self._database = database
        self._store = store
        database.wake_parents = self._wake_parents

    def on_woken(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after a commit that may have had a parent go on."""
        self._database.on_woken = listener

    @whole
    async def find_depth(self, id_: ExecutionId) -> int:
        """How many executions wait above this one, counted up to `DEPTH_MAX`."""
        depth = 0
        above: ExecutionId | None = id_
        async with self._database.reading() as connection:
            while depth < DEPTH_MAX:
                above = await connection.scalar(_PARENT_OF, {"id": above})
                if above is None:
                    break
                depth += 1
        return depth

    @whole
    async def find(self, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, AskedChild]:
        """How those of `ids` that there are were asked for."""
        async with self._database.reading_once() as connection:
            found = (await connection.execute(_ASKED, {"ids": list(ids)})).all()
        return {ExecutionId(row.id): AskedChild(parent=row.parent, request_hash=row.request_hash) for row in found}

    @whole
    async def find_abandoned(self, *, limit: int) -> Sequence[ExecutionId]:
        """Up to `limit` that have not ended while their parent has, and that nobody has asked to end yet."""
        async with self._database.reading_once() as connection:
            return [ExecutionId(id_) for id_ in await connection.scalars(_ABANDONED, {"limit": limit})]

    @whole
    async def end_abandoned(self, ids: Sequence[ExecutionId]) -> Sequence[ExecutionId]:
        """End those of `ids` that are abandoned still; returns them. Raises ServerBusy.

        Others have a parent that a person has had go on since they were found.
        """

        async def write(writing: Writing) -> Sequence[ExecutionId]:
            await _lock_with_parents(writing, ids)
            rows = await writing.connection.execute(_STILL_ABANDONED, {"ids": list(ids)})
            found = [ExecutionId(id_) for id_ in rows.scalars()]
            if found:
                await ask_to_end(writing, found)
            return found

        return await self._database.write(write, is_deferrable=True)

    async def _wake_parents(self, writing: Writing) -> None:
        for id_ in sorted(writing.parents):
            row = await writing.lock_row(id_)
            if row is not None and row["phase"] == Phase.IN_PROGRESS and row["waiting_for"] in WOKEN_BY_CHILD:
                await wake_early(writing, self._store, id_, CHILD_ENDED, epoch=row["epoch"])
