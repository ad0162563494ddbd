"""Faults of the shell: what it says is not what the stack was started with."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.faults.fault import On, Row
from tests.e2e.faults.harness import Harness

DATABASE = "STIGMER_DATABASE_URL"
OTHER = "postgresql://me:secret@db.example/work"


@contextmanager
def another_database(harness: Harness) -> Iterator[None]:
    """A shell that names another database than the one that the executions are in; nothing of it is ever opened."""
    harness.stigmer.ok("up")
    harness.stigmer.ok("down")
    harness.stigmer.environment[DATABASE] = OTHER
    try:
        yield
    finally:
        del harness.stigmer.environment[DATABASE]
        harness.stigmer.ok("down")


@contextmanager
def no_key(harness: Harness) -> Iterator[None]:
    """An agent whose model needs a key, which the runner was not given."""
    harness.stigmer.apply_agent("clever", "openai:gpt-x")
    try:
        yield
    finally:
        harness.stigmer.ok("agents", "delete", "clever", "--yes")
        harness.stigmer.ok("restart", "runner")


ROWS: tuple[Row, ...] = (
    Row(
        fault="Y8",
        what="the runner was started without the key that an agent needs",
        on=On.OWN,
        inject=no_key,
        code="STG505",
        exit_code=0,
        verdict="healthy, with a warning: agents use openai:gpt-x, and the runner was given neither OPENAI_API_KEY nor"
        " OPENAI_BASE_URL",
        fix="export OPENAI_API_KEY=... && stigmer restart runner",
    ),
    Row(
        fault="Y8",
        what="the shell names another database than the stack's",
        on=On.COLD,
        inject=another_database,
        code="STG117",
        exit_code=1,
        verdict="not healthy: the executions of ~/.stigmer are in sqlite:///~/.stigmer/data/stigmer.db, and"
        " STIGMER_DATABASE_URL names another database here: postgresql://me@db.example/work",
        fix="unset STIGMER_DATABASE_URL && stigmer up",
    ),
)
