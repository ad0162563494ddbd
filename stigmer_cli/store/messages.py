"""The messages of an execution, which are events of its timeline: each piece as it came, and complete ones folded.

While a message is streamed, each piece is an event with its text. When its attempt is over, consecutive pieces become
one row: their sizes and the times between them, and their text once, or none where it is the output of the execution.
A reader gets the same events before and after. Only pieces of the present attempt, which come after `answer_seq` of
the execution, are its messages; those of earlier attempts are withdrawn, and stay in the timeline.

Rows from before pieces were folded have the form of a piece that was just written, and are read as they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, groupby, pairwise
from typing import Any, cast

from sqlalchemy import Integer, RowMapping, Select, bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from stigmer_cli.domain.execution import Event, EventType, Message
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import Conflict
from stigmer_cli.store.columns import micros, moment
from stigmer_cli.store.database import EventDraft, Transition, Writing
from stigmer_cli.store.tables import events, executions
from stigmer_cli.store.transitions import expect

FOLD_PIECES_MIN = 4
FOLD_CHARS_MIN = 512
"""Fewer pieces, with less text, are left as they are: to fold them costs more than their rows take."""

CUTS = "cuts"
"""In the data of a folded row: the size of the first piece, then for each other one the milliseconds since the piece
before, and its size. Clients see times in milliseconds."""

_MILLISECOND = timedelta(milliseconds=1)
_OF = events.c
_ITS_MESSAGES = (
    _OF.execution_id == bindparam("id"),
    _OF.type == EventType.MESSAGE,
    _OF.seq > bindparam("after", type_=Integer),
)
_PIECES = select(_OF.seq, _OF.at, _OF.data).where(*_ITS_MESSAGES).order_by(_OF.seq)
_TAIL: Select[Any] = _PIECES.order_by(None).order_by(_OF.seq.desc()).limit(1)
_FORGET = delete(events).where(
    _OF.execution_id == bindparam("id"), _OF.seq.between(bindparam("first"), bindparam("last"))
)
_FOLD = insert(events)
_OUTPUT = select(executions.c.output).where(executions.c.id == bindparam("id"))


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of message `index`: `text` stands at `offset`, in characters."""

    seq: int
    at: datetime
    index: int
    offset: int
    role: str
    text: str

    @property
    def end(self) -> int:
        """Where the next piece begins."""
        return self.offset + len(self.text)

    def to_event(self, execution: ExecutionId) -> Event:
        """The piece as an event."""
        return Event(
            execution=execution,
            seq=self.seq,
            at=self.at,
            type=EventType.MESSAGE,
            text=_title(self.index, self.role),
            data={"index": self.index, "offset": self.offset, "role": self.role, "text": self.text},
        )


async def read_messages(connection: AsyncConnection, execution: RowMapping) -> tuple[Message, ...]:
    """The messages of an execution, whose row this is."""
    if execution["answer_seq"] is None:
        return ()
    found = await connection.execute(_PIECES, {"id": execution["id"], "after": execution["answer_seq"]})
    return _join(piece for row in found.mappings() for piece in unfold(row, execution["output"]))


def needs_output(rows: Sequence[RowMapping]) -> bool:
    """Whether one of the `rows`, folded, refers to the output of its execution."""
    return any(row["data"] is not None and CUTS in row["data"] and "text" not in row["data"] for row in rows)


async def read_output(connection: AsyncConnection, execution: ExecutionId, rows: Sequence[RowMapping]) -> str | None:
    """The output of the execution if one of its folded `rows` refers to it."""
    if not needs_output(rows):
        return None
    found: str | None = await connection.scalar(_OUTPUT, {"id": execution})
    return found


def unfold(row: RowMapping, output: str | None) -> Iterator[Piece]:
    """The pieces in a row of a message; `output` is the execution's."""
    data: Mapping[str, Any] = row["data"]
    index, role, start = int(data["index"]), str(data["role"]), int(data["offset"])
    cuts = cast("Sequence[int]", data.get(CUTS))
    if cuts is None:
        yield Piece(seq=row["seq"], at=row["at"], index=index, offset=start, role=role, text=data["text"])
        return
    sizes, waits_ms = cuts[::2], cuts[1::2]
    text = data["text"] if "text" in data else (output or "")[start : start + sum(sizes)]
    begin_ms = micros(row["at"]) // 1_000
    ats = [row["at"], *(moment(ms * 1_000) for ms in list(accumulate(waits_ms, initial=begin_ms))[1:])]
    ends = list(accumulate(sizes, initial=0))
    for number, ((begin, end), at) in enumerate(zip(pairwise(ends), ats, strict=True)):
        yield Piece(
            seq=row["seq"] - len(sizes) + 1 + number,
            at=at,
            index=index,
            offset=start + begin,
            role=role,
            text=text[begin:end],
        )


async def fold(writing: Writing, id_: ExecutionId, *, after: int | None, output: str | None) -> None:
    """Fold the messages of an attempt that is over; `output` is what the execution ended with."""
    if after is None:
        return
    found = await writing.connection.execute(_PIECES, {"id": id_, "after": after})
    pieces = [piece for row in found.mappings() for piece in unfold(row, None)]
    is_output = output is not None and [message.content for message in _join(pieces)] == [output]
    for group in _consecutive(pieces):
        size = sum(len(piece.text) for piece in group)
        if len(group) >= FOLD_PIECES_MIN or size >= FOLD_CHARS_MIN:
            await _fold_group(writing, id_, group, is_output=is_output)


async def _fold_group(writing: Writing, id_: ExecutionId, group: Sequence[Piece], *, is_output: bool) -> None:
    first, last = group[0], group[-1]
    cuts = [len(first.text)]
    for before, piece in pairwise(group):
        cuts += [micros(piece.at) // 1_000 - micros(before.at) // 1_000, len(piece.text)]
    data = {"index": first.index, "offset": first.offset, "role": first.role, CUTS: cuts}
    if not is_output:
        data["text"] = "".join(piece.text for piece in group)
    await writing.connection.execute(_FORGET, {"id": id_, "first": first.seq, "last": last.seq})
    await writing.connection.execute(
        _FOLD,
        {
            "execution_id": id_,
            "seq": last.seq,
            "at": first.at,
            "type": EventType.MESSAGE,
            "text": "",
            "data": data,
        },
    )


def _consecutive(pieces: Iterable[Piece]) -> Iterator[Sequence[Piece]]:
    """Runs of pieces with nothing between them: no other event, no other message, no gap."""
    group: list[Piece] = []
    for piece in pieces:
        if group and (piece.seq, piece.index, piece.offset) != (group[-1].seq + 1, group[-1].index, group[-1].end):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _join(pieces: Iterable[Piece]) -> tuple[Message, ...]:
    """The messages that `pieces`, in the order of the timeline, are parts of."""
    ordered = sorted(pieces, key=lambda piece: piece.index)
    messages = (list(group) for _index, group in groupby(ordered, key=lambda piece: piece.index))
    return tuple(Message(role=group[0].role, content="".join(piece.text for piece in group)) for group in messages)


class MessageWriter:
    """Appends to message `index` of an execution whose present attempt began after event `after`."""

    def __init__(self, writing: Writing, id_: ExecutionId, *, epoch: int, index: int, after: int) -> None:
        self._writing = writing
        self._id = id_
        self._epoch = epoch
        self._index = index
        self._after = after

    async def find_new(self, offset: int, role: str, text: str) -> str | None:
        """The end of `text` that is not there yet; None if all of it is. Raises Conflict."""
        tail = await self._read(_TAIL)
        if tail and (tail[0].index, tail[0].role, tail[0].end) == (self._index, role, offset):
            return text or None
        pieces = await self._read(_PIECES)
        own = [piece for piece in pieces if piece.index == self._index]
        if not own:
            if offset > 0 or (self._index > 0 and not any(piece.index == self._index - 1 for piece in pieces)):
                raise Conflict(f"{self._name} cannot begin at {offset}: what stands before it is missing")
            return text
        if offset > own[-1].end:
            raise Conflict(f"{self._name} has {own[-1].end} characters; {offset} leaves a gap")
        if own[0].role != role:
            raise Conflict(f"{self._name} is of {own[0].role}, not of {role}")
        there = "".join(piece.text for piece in own)[offset:]
        if there[: len(text)] != text[: len(there)]:
            raise Conflict(f"{self._name} holds another text at {offset}")
        return text[len(there) :] or None

    async def append(self, offset: int, role: str, text: str) -> None:
        """Write a piece."""
        draft = draft_piece(self._index, offset, role, text)
        await self._writing.change(self._id, Transition(expects=expect(epoch=self._epoch), event=draft))

    async def _read(self, query: Select[Any]) -> Sequence[Piece]:
        found = await self._writing.connection.execute(query, {"id": self._id, "after": self._after})
        return [piece for row in found.mappings() for piece in unfold(row, None)]

    @property
    def _name(self) -> str:
        return f"message {self._index} of {self._id}"


def draft_piece(index: int, offset: int, role: str, text: str) -> EventDraft:
    """A piece of a message as it is written first."""
    data = {"index": index, "offset": offset, "role": role, "text": text}
    return EventDraft(type=EventType.MESSAGE, text=_title(index, role), data=data)


def _title(index: int, role: str) -> str:
    return f"message {index} of {role}"
