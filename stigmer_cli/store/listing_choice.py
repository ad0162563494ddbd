"""Which index a listing reads: of those that narrow it, the one that holds the fewest executions.

A list ends after a page. Read from the wrong index, it passes by thousands of executions that do not match for each one
that does: those with a common word, for the few that are in progress. How many each index holds is known of phases
and agents, and counted up to `SIZE_MAX` of labels and words, which takes about a millisecond each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, FromClause, func, literal, select

from stigmer_cli.domain.identity import AgentId
from stigmer_cli.domain.labels import LabelSelector
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.execution_counts import Counts, read_counts
from stigmer_cli.store.labels import selects
from stigmer_cli.store.listing_source import EVERYTHING, LABELLED, MATCHES, Source
from stigmer_cli.store.search import find_indexed, matches_sqlite, texts
from stigmer_cli.store.tables import execution_labels

if TYPE_CHECKING:
    from stigmer_cli.store.listing import Filter

SIZE_MAX = 10_000
"""How far an index is counted; above, a walk through any of them soon meets what matches."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is read in order of age, the label that it is read by, and the phases in which anything can be found.

    `are_kinds_met`: everything in these phases is of the kinds that were asked for.
    """

    source: Source
    label: LabelSelector | None
    phases: frozenset[Phase]
    are_kinds_met: bool


async def choose(connection: AsyncConnection, asked: "Filter", agent: AgentId | None) -> Choice:
    """The best index for `asked`, whose agent is `agent`."""
    counts = await read_counts(connection, agent)
    phases = asked.phases
    are_kinds_met = True
    if asked.kinds:
        found = {phase for phase, kind in counts if kind in asked.kinds}
        phases = frozenset(found & (asked.phases or found))
        are_kinds_met = all(kind in asked.kinds for phase, kind in counts if phase in phases)
    source, label = await _smallest(connection, asked, sum_counts(counts, phases))
    return Choice(source=source, label=label, phases=phases, are_kinds_met=are_kinds_met)


def sum_counts(counts: Counts, phases: frozenset[Phase]) -> int:
    """How many are in any of `phases`, or at all where there are none of these."""
    return sum(number for (phase, _kind), number in counts.items() if not phases or phase in phases)


async def _smallest(
    connection: AsyncConnection, asked: "Filter", in_phases: int
) -> tuple[Source, LabelSelector | None]:
    """The index that holds the fewest; of several that hold many, the one whose entries cost least."""
    candidates: list[tuple[Source, LabelSelector | None]] = []
    terms = find_indexed(asked.search)
    if terms and connection.dialect.name == "sqlite":
        candidates.append((MATCHES, None))
    candidates += [(LABELLED, label) for label in asked.labels]
    if asked.phases or asked.agent or not candidates:
        candidates.append((EVERYTHING, None))
    if len(candidates) == 1:
        return candidates[0]
    sizes: list[int] = []
    for source, label in candidates:
        if source is EVERYTHING:
            sizes.append(min(SIZE_MAX, in_phases))
        elif label is not None:
            sizes.append(await _count(connection, execution_labels, [selects(label)]))
        else:
            sizes.append(await _count(connection, texts, [matches_sqlite(terms)]))
    return candidates[sizes.index(min(sizes))]


async def _count(connection: AsyncConnection, table: FromClause, conditions: Sequence[ColumnElement[bool]]) -> int:
    """How many entries of an index there are, counted up to `SIZE_MAX`."""
    entries = select(literal(1).label("one")).select_from(table).where(*conditions).limit(SIZE_MAX).subquery()
    return int(await connection.scalar(select(func.count()).select_from(entries)) or 0)
