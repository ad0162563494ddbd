"""Executions newest first, a page at a time: what may be asked for, and the queries that answer it from an index."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, and_, func, or_, select

from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import AgentId, Kind, is_id
from stigmer_cli.domain.labels import LabelSelector
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.search import SearchTerm
from stigmer_cli.errors import NotFound, RequestError
from stigmer_cli.store.agents import explain_unknown
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.columns import micros, moment
from stigmer_cli.store.decisions import add_pending_calls
from stigmer_cli.store.due_rows import Aged
from stigmer_cli.store.execution_counts import read_counts
from stigmer_cli.store.labels import has_label, selects
from stigmer_cli.store.listing_choice import choose, sum_counts
from stigmer_cli.store.listing_source import EVERYTHING, MATCHES, Source
from stigmer_cli.store.mapping import execution_of
from stigmer_cli.store.search import contain_unspaced, find_indexed, has_match, matches_postgresql, matches_sqlite
from stigmer_cli.store.sessions import require_session
from stigmer_cli.store.tables import IN_SESSION, NEEDS_ATTENTION, WAITING, agents, executions
from stigmer_cli.store.workflows import find_workflow

COUNTED_AMONG = 1_000
"""Where an index does not hold everything that is asked for, matches are counted among so many of its entries."""

_ROW = executions.c
_Key = tuple[datetime, str]
_Condition = ColumnElement[bool] | TextClause


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which executions; what is empty or None does not narrow.

    `agent` is an id or a slug, and `workflow` an id, NAME or NAMESPACE/NAME: only one of the two. `session` is a name;
    `aged` says how old an execution is at least. It was accepted at `since` or later, and before `until`. It has every
    one of `labels`, and contains every term of `search`.
    """

    phases: frozenset[Phase] = frozenset()
    kinds: frozenset[Kind] = frozenset()
    agent: str | None = None
    workflow: str | None = None
    session: str | None = None
    aged: Aged | None = None
    needs_attention: bool | None = None
    waiting: bool | None = None
    submitted: bool | None = None
    labels: Sequence[LabelSelector] = ()
    search: Sequence[SearchTerm] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some executions, and where the next page begins (None: this was the last)."""

    items: Sequence[Execution]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """How a filter is answered: what is read in order of age, and in which parts, which exclude each other.

    `conditions` need more than the index that is read; without any, an index alone says how many there are.
    """

    source: Source
    indexed: Sequence[_Condition]
    cuts: Sequence[Sequence[_Condition]]
    conditions: Sequence[_Condition]


async def page(connection: AsyncConnection, asked: Filter, *, limit: int, cursor: str | None) -> Page:
    """The next `limit` executions behind `cursor`.

    Raises RequestError for a cursor that is none of ours, NotFound for a name that nothing has, and Conflict for a
    workflow's that several have.
    """
    behind = None if cursor is None else _parse(cursor)
    plan = await _make_plan(connection, asked)
    keys: list[Iterable[_Key]] = [
        await _keys(connection, plan.source, [*plan.indexed, *plan.conditions, *narrow], behind, limit + 1)
        for narrow in plan.cuts
    ]
    # Merged here: one query over several phases would sort every row of theirs, or read past all the others.
    found = list(islice(heapq.merge(*keys, reverse=True), limit + 1))
    shown = found[:limit]
    rows = await connection.execute(
        select(executions)
        .where(_ROW.id.in_([id_ for _at, id_ in shown]))
        .order_by(_ROW.created_at.desc(), _ROW.id.desc())
    )
    return Page(
        items=await add_pending_calls(connection, [execution_of(row) for row in rows.mappings()]),
        next_cursor=_cursor(shown[-1]) if len(found) > limit and shown else None,
    )


async def count(connection: AsyncConnection, asked: Filter, *, limit: int) -> int | None:
    """How many executions match, counted up to `limit`; None if that takes a look at too many that do not match.

    Raises NotFound for a name that nothing has, and Conflict for a workflow's that several have.
    """
    if asked == Filter(phases=asked.phases, agent=asked.agent, workflow=asked.workflow):
        counts = await read_counts(connection, await _find_runs_of(connection, asked))
        return min(limit, sum_counts(counts, asked.phases))
    plan, found = await _make_plan(connection, asked), 0
    is_ranged = asked.aged is not None or asked.since is not None or asked.until is not None
    has_all = not plan.conditions and not (plan.source is MATCHES and is_ranged)
    query = plan.source.select_keys() if has_all else plan.source.select(_ROW.id)
    for narrow in plan.cuts:
        entries = query.where(*plan.indexed, *narrow)
        if plan.conditions and await _count(connection, entries, COUNTED_AMONG + 1) > COUNTED_AMONG:
            return None
        found += await _count(connection, entries.where(*plan.conditions), limit - found)
    return found


async def _count(connection: AsyncConnection, query: Select[Any], limit: int) -> int:
    found = query.limit(limit).subquery()
    return int(await connection.scalar(select(func.count()).select_from(found)) or 0)


async def _make_plan(connection: AsyncConnection, asked: Filter) -> _Plan:
    """Raises NotFound for a name that nothing has, and Conflict for a workflow's that several have."""
    agent = await _find_runs_of(connection, asked)
    if asked.session is not None:
        await require_session(connection, asked.session)
    choice = await choose(connection, asked, agent)
    source, indexed, conditions = choice.source, list[_Condition](), list[_Condition]()
    if asked.kinds and not choice.are_kinds_met:
        conditions.append(_ROW.kind.in_(sorted(asked.kinds)))
    if agent is not None:
        (indexed if source is EVERYTHING else conditions).append(_ROW.agent_id == agent)
    conditions += _of_columns(asked)
    if choice.label is not None:
        indexed.append(selects(choice.label))
    conditions += [has_label(label) for label in asked.labels if label is not choice.label]
    is_source = source is MATCHES
    (indexed if is_source else conditions).extend(_contain_words(connection, asked, is_source=is_source))
    conditions += contain_unspaced(asked.search)
    phases = choice.phases if asked.phases or asked.kinds else frozenset[Phase]()
    if phases and source is not EVERYTHING:
        conditions.append(_ROW.phase.in_(sorted(phases)))
    cuts = [] if (asked.phases or asked.kinds) and not phases else _cuts(asked, source, phases)
    return _Plan(source=source, indexed=indexed, cuts=cuts, conditions=conditions)


def _of_columns(asked: Filter) -> Sequence[_Condition]:
    """What columns without an index of their own have to hold."""
    conditions = list[_Condition]()
    if asked.session is not None:
        conditions.append(and_(IN_SESSION, _ROW.session == asked.session))
    if asked.needs_attention is not None:
        conditions.append(NEEDS_ATTENTION if asked.needs_attention else _ROW.attention_code.is_(None))
    if asked.waiting is not None:
        conditions.append(WAITING if asked.waiting else _ROW.waiting_for.is_(None))
    if asked.submitted is not None:
        conditions.append(_ROW.submitted_at.is_not(None) if asked.submitted else _ROW.submitted_at.is_(None))
    return conditions


def _contain_words(connection: AsyncConnection, asked: Filter, *, is_source: bool) -> Sequence[_Condition]:
    """The condition of containing every term of the search that the index finds, if there are any."""
    terms = find_indexed(asked.search)
    if not terms:
        return []
    if connection.dialect.name != "sqlite":
        return [matches_postgresql(terms)]
    return [matches_sqlite(terms) if is_source else has_match(terms)]


def _cuts(asked: Filter, source: Source, phases: frozenset[Phase]) -> Sequence[Sequence[_Condition]]:
    """Conditions that exclude each other, one list for each query: those that are answered from an index each."""
    ages = _ages(asked, source)
    if source is not EVERYTHING:
        return ages
    if asked.needs_attention or asked.waiting or not (phases or asked.agent or asked.workflow):
        return [[*age, _ROW.phase.in_(sorted(phases))] if phases else age for age in ages]
    return [[*age, _ROW.phase == phase] for phase in sorted(phases or Phase) for age in ages]


def _ages(asked: Filter, source: Source) -> list[list[_Condition]]:
    aged = asked.aged
    within: list[_Condition] = [*source.accepted_between(asked.since, asked.until)]
    if aged is None:
        return [within]
    old, ahead = source.created_at < aged.older_than, source.created_at > aged.ahead_of
    return [[*within, old], [*within, ahead]] if source is EVERYTHING else [[*within, or_(old, ahead)]]


async def _keys(
    connection: AsyncConnection, source: Source, conditions: Sequence[_Condition], behind: _Key | None, limit: int
) -> Sequence[_Key]:
    query = source.select(_ROW.created_at, _ROW.id).where(*conditions, *source.behind(behind))
    found = await connection.execute(query.order_by(*source.order).limit(limit))
    keys = [(row.created_at, row.id) for row in found]
    if source is not MATCHES or len(keys) < limit:
        return sorted(keys, reverse=True)
    # FTS5 orders by time alone: of those of the last moment, all must be known to give the first.
    last = keys[-1][0]
    tied = await connection.execute(query.where(*source.accepted_at(last)))
    return sorted({*keys, *((row.created_at, row.id) for row in tied)}, reverse=True)[:limit]


async def find_agent_id(connection: AsyncConnection, id_or_slug: str | None) -> AgentId | None:
    """The id of the agent with this id or slug; None for None. Raises NotFound for a slug that no agent has."""
    if id_or_slug is None:
        return None
    found: AgentId | None = await connection.scalar(select(agents.c.id).where(agents.c.slug == id_or_slug))
    if found is None and not is_id(id_or_slug):
        raise await explain_unknown(connection, id_or_slug)
    return found or AgentId(id_or_slug)  # the id of an agent that was deleted still finds its executions


async def _find_runs_of(connection: AsyncConnection, asked: Filter) -> AgentId | None:
    """The id of the agent or the workflow whose executions are asked for; None: of all."""
    if asked.workflow is None:
        return await find_agent_id(connection, asked.agent)
    if asked.agent is not None:
        raise RequestError("agent and workflow exclude each other")
    try:
        return (await find_workflow(connection, asked.workflow)).id
    except NotFound:
        if not is_id(asked.workflow):
            raise
        return AgentId(asked.workflow)  # that of a workflow that was deleted


def _cursor(key: _Key) -> str:
    return f"{micros(key[0])}.{key[1]}"


def _parse(cursor: str) -> _Key:
    since_1970_us, _, id_ = cursor.partition(".")
    try:
        return moment(int(since_1970_us)), id_
    except (ValueError, OverflowError):
        raise RequestError(f"{cursor!r} is not a cursor: take `next_cursor` of the page before") from None
