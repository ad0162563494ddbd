"""A database in memory for each test, and no log output: it would be thousands of lines."""

from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.store import Memory


@pytest.fixture(scope="module")
def migrated() -> Iterator[Memory]:
    """One for all tests of a module: its schema is made, and its statements compiled, once."""
    made = Memory()
    yield made
    made.close()


@pytest.fixture
def memory(migrated: Memory) -> Memory:
    """An empty one."""
    migrated.empty()
    return migrated


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Only what ends a process is logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()
