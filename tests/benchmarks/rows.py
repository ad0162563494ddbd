"""Fills a store with many executions, as if it had been in use for a month: every phase, labels, words, agents.

The rows are copies of executions that went through the store, with other ids, times, words, labels and agents, written
in one transaction; the triggers of the schema see each of them. Whatever their number, `OPEN` have not ended: what
is open is what runs just now, and what grows is the past.
"""

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta

import psycopg
from psycopg import sql
from ulid import ULID

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import AgentSpec
from stigmer_cli.domain.identity import AgentId
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.store.columns import micros
from stigmer_cli.store.labels import index_terms
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import Stage, bring_to

MONTH = timedelta(days=30)
OPEN = 500
AGENTS = 20
COMMON_AGENT, OLD_AGENT = "agent-00", "retired"
COMMON_LABEL, OLD_LABEL = "team=core", "incident=17"
COMMON_WORD, OLD_WORD = "the", "zyzzyva"
OLD_NUMBER = 20
"""So many of the oldest have a word, a label and an agent that no newer one has."""

WORDS, TEXTS, VOCABULARY, LETTERS = 12, 5_000, 2_000, "etaoinshrdlu"
ENDED: Mapping[Stage, float] = {Stage.COMPLETED: 0.96, Stage.FAILED: 0.03, Stage.CANCELLED: 0.01}
UNFINISHED = (Stage.QUEUED, Stage.SUBMITTED, Stage.RUNNING)

Row = dict[str, object]


async def fill(url: str, number: int) -> None:
    """Give the store at `url` `number` executions; it has none before."""
    async with await open_store(url, clock=SystemClock()) as store:
        templates = await _make_templates(store)
        agents = [(await store.agents.get(name)).id for name in [*_names(), OLD_AGENT]]
    rows = _rows(templates, agents, number, SystemClock().now())
    if url.startswith("sqlite:///"):
        _write_sqlite(url.removeprefix("sqlite:///"), rows)
    else:
        _write_postgresql(url, rows)


def _names() -> Sequence[str]:
    return [f"agent-{number:02d}" for number in range(AGENTS)]


async def _make_templates(store: Store) -> Mapping[Stage, Row]:
    """A row of each stage, as the database holds it; the store is empty again afterwards but for agents."""
    spec = AgentSpec(model="echo")
    await store.agents.apply(
        [
            AgentDraft(id=AgentId(f"agt-{number:026d}"), name=name, slug=name, spec=spec)
            for number, name in enumerate([*_names(), OLD_AGENT])
        ]
    )
    found: dict[Stage, Row] = {}
    for stage in (*ENDED, *UNFINISHED):
        one = await bring_to(store, stage)
        async with store._database.writing() as writing:
            query = f"SELECT * FROM executions WHERE id = '{one.id}'"  # noqa: S608 - an id of our own
            found[stage] = dict((await writing.connection.exec_driver_sql(query)).mappings().one())
            for table, column in (("events", "execution_id"), ("executions", "id")):
                statement = f"DELETE FROM {table} WHERE {column} = '{one.id}'"  # noqa: S608
                await writing.connection.exec_driver_sql(statement)
    return found


def _rows(
    templates: Mapping[Stage, Row], agents: Sequence[AgentId], number: int, now: datetime
) -> Iterator[tuple[Row, Mapping[str, str]]]:
    """The rows, oldest first, each with its labels."""
    rng = random.Random(number)
    texts = _make_texts(rng)
    for place in range(number):
        is_old, is_open = place < OLD_NUMBER, place >= number - OPEN
        at = now - MONTH * (1 - place / number)
        stage = rng.choice(UNFINISHED) if is_open else rng.choices(list(ENDED), list(ENDED.values()))[0]
        labels = {"team": rng.choice(("core", "web", "data", "ops"))} if rng.random() < 0.2 else {}
        text = rng.choice(texts)
        agent = rng.randrange(AGENTS) if not is_old else AGENTS
        if is_old:
            labels, text = {"incident": "17"}, f"{text} {OLD_WORD}"
        yield (
            {
                **_move(templates[stage], micros(at)),
                "id": f"aex-{str(ULID.from_datetime(at)).lower()}",
                "agent_id": agents[agent],
                "agent_name": _names()[agent] if agent < AGENTS else OLD_AGENT,
                "message": text,
                "output": f"done: {text}" if stage is Stage.COMPLETED else None,
                "labels": json.dumps(labels),
            },
            labels,
        )


def _make_texts(rng: random.Random) -> Sequence[str]:
    words = ["".join(rng.choices(LETTERS, k=rng.randint(2, 9))) for _ in range(VOCABULARY)]
    weights = [1 / rank for rank in range(1, VOCABULARY + 1)]  # Zipf's law
    return [" ".join([COMMON_WORD, *rng.choices(words, weights, k=WORDS)]) for _ in range(TEXTS)]


def _move(template: Row, at: int) -> Row:
    """`template` with every time moved by as much, so that it was accepted at the microsecond `at`."""
    by = at - int(str(template["created_at"]))
    times = [name for name, value in template.items() if name.endswith(("_at", "_since")) and value is not None]
    return {**template, **{name: int(str(template[name])) + by for name in times}}


def _write_sqlite(path: str, rows: Iterator[tuple[Row, Mapping[str, str]]]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA cache_size=-500000")
        db.execute("BEGIN")
        columns = [row[1] for row in db.execute("PRAGMA table_info(executions)")]
        labels: list[tuple[str, object, object]] = []

        def values() -> Iterator[list[object]]:
            for row, labelled in rows:
                labels.extend((term, row["created_at"], row["id"]) for term in index_terms(labelled))
                yield [row[name] for name in columns]

        db.executemany(f"INSERT INTO executions VALUES ({', '.join('?' * len(columns))})", values())  # noqa: S608
        db.executemany("INSERT INTO execution_labels VALUES (?, ?, ?)", labels)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write_postgresql(url: str, rows: Iterator[tuple[Row, Mapping[str, str]]]) -> None:
    with psycopg.connect(url) as db, db.cursor() as cursor:
        first = next(rows)
        columns = sql.SQL(", ").join(map(sql.Identifier, first[0]))
        labels: list[tuple[str, object, object]] = []
        with cursor.copy(sql.SQL("COPY executions ({}) FROM STDIN").format(columns)) as copy:
            for row, labelled in (first, *rows):
                labels.extend((term, row["created_at"], row["id"]) for term in index_terms(labelled))
                copy.write_row([row[name] for name in first[0]])
        with cursor.copy("COPY execution_labels FROM STDIN") as copy:
            for entry in labels:
                copy.write_row(entry)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")  # as autovacuum does in time
