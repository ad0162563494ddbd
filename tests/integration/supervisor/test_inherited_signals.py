"""A supervisor whose parent blocked or ignored signals: such a state is inherited, and must not make it deaf."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.support.polling import until_true
from tests.support.processes import DIES, SLEEP, child, supervised

BLOCKED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1}


@contextmanager
def blocking() -> Iterator[None]:
    """Start what is started meanwhile with signals blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def ignoring_children() -> Iterator[None]:
    """Start what is started meanwhile with SIGCHLD ignored."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("inherited", [blocking, ignoring_children])
async def test_the_death_of_a_child_is_noticed(
    inherited: Callable[[], AbstractContextManager[None]], tmp_path: Path
) -> None:
    with inherited():
        async with supervised(tmp_path, child(tmp_path, "a", DIES)) as it:
            record = await it.child("a", lambda one: one.last_exit, "ended")
            assert record.last_exit is not None
            assert record.last_exit.code == 3


async def test_a_child_is_stopped_by_its_signal_and_so_is_the_supervisor(tmp_path: Path) -> None:
    with blocking():
        async with supervised(tmp_path, child(tmp_path, "a", SLEEP)) as it:
            await it.says("a")
            it.id.send(signal.SIGTERM)
            await until_true(lambda: not it.id.is_alive, "the supervisor ended")
    assert '"signal": "SIGTERM"' in it.log()
