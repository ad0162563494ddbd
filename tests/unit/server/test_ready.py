"""How often a row is written to prove that rows can be, and what is said while a write hangs."""

import asyncio
from dataclasses import dataclass, field

import pytest

from stigmer_cli.errors import Unavailable
from stigmer_cli.server import ready
from stigmer_cli.server.ready import STOPPING, ReadyCheck
from stigmer_cli.server.serve import GRACE_S, NOTICE_S
from stigmer_cli.stack.parts import SERVER_GRACE_S
from tests.support.fakes import ManualClock

CLOSING_S = 0.2
"""What uvicorn takes to notice that it should end, and to close its listener."""

STORE_S = 0.5


@dataclass
class Rows:
    """A store whose writes end when it is told so."""

    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    begun: int = 0
    fails: bool = False
    written_at_s: float | None = None

    @property
    def meta(self) -> "Rows":
        return self

    async def check(self) -> None:
        """It can be read."""

    async def set(self, _key: str, _value: str) -> None:
        self.begun += 1
        await self.is_open.wait()
        if self.fails:
            raise Unavailable("it takes no rows")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    monkeypatch.setattr(ready, "WRITE_MAX_S", 0.01)
    return Rows()


def check_of(rows: Rows, clock: ManualClock) -> ReadyCheck:
    return ReadyCheck(rows, clock=clock)  # type: ignore[arg-type]


async def test_one_write_a_second_answers_everybody(rows: Rows) -> None:
    rows.is_open.set()
    clock = ManualClock()
    check = check_of(rows, clock)
    assert await asyncio.gather(*(check.why_not() for _ in range(50))) == [""] * 50
    assert rows.begun == 1
    rows.fails = True
    assert await check.why_not() == "", "what was found a moment ago"
    await clock.advance(1.0)
    assert await check.why_not() == "it takes no rows"
    assert rows.begun == 2


async def test_a_store_that_hangs_is_not_asked_twice(rows: Rows) -> None:
    clock = ManualClock()
    check = check_of(rows, clock)
    for _ in range(3):
        assert await check.why_not() == "the store did not take a row within 0.01s"
        await clock.advance(1.0)
    assert rows.begun == 1
    rows.is_open.set()
    assert await check.why_not() == ""


async def test_a_row_that_others_wrote_a_moment_ago_is_proof_enough(rows: Rows) -> None:
    rows.is_open.set()
    clock = ManualClock()
    check = check_of(rows, clock)
    rows.written_at_s = clock.monotonic()
    assert await check.why_not() == ""
    assert rows.begun == 0
    await clock.advance(1.0)
    assert await check.why_not() == ""
    assert rows.begun == 1


async def test_one_that_is_about_to_end_is_not_ready_however_well_its_store_is(rows: Rows) -> None:
    rows.is_open.set()
    check = check_of(rows, ManualClock())
    assert await check.why_not() == ""
    check.is_stopping = True
    assert await check.why_not() == STOPPING


def test_a_server_of_this_machine_ends_before_its_supervisor_kills_it() -> None:
    assert NOTICE_S + CLOSING_S + GRACE_S + STORE_S <= SERVER_GRACE_S
