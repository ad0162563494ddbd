"""What the screen of `stigmer top` shows, and what its keys do to a source that behaves."""

import io
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import DataTable, Static

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.cli.stack.status import StatusPage
from stigmer_cli.cli.top.app import TopApp
from stigmer_cli.cli.top.screens import Confirm, Details
from stigmer_cli.cli.top.source import Snapshot
from stigmer_cli.domain.execution import EventType, Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotRunning
from stigmer_cli.settings import Home
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.status import PartState, PartStatus, StackState, StackStatus
from tests.support.execution_rows import row
from tests.support.fakes import START

NOW = START + timedelta(seconds=12)
ENDPOINTS = Endpoints(
    server_url="http://127.0.0.1:7234",
    server_port=7234,
    temporal_address="127.0.0.1:7233",
    temporal_port=7233,
    ui_url=None,
    ui_port=None,
    namespace="default",
    ephemeral=False,
    started_at="",
)


def execution(number: int, phase: Phase = Phase.COMPLETED) -> Execution:
    return row(phase, execution=ExecutionId(f"aex-01kqrxnp6m8w8t6e3d2m5k7j{number:02}"))


class Stack:
    """A stack that holds rows and changes them as it is told; `stopped` is one that is down."""

    def __init__(self, *rows: Execution) -> None:
        self.rows = {row.id: row for row in rows}
        self.stuck: set[ExecutionId] = set()
        self.is_stopped = False
        self.restarted: list[str | None] = []
        self.observed = 0

    def resource(self, name: str) -> ExecutionResource:
        found = execution_resource(self.rows[ExecutionId(name)])
        body = StuckBody.model_validate({"class": "orphaned", "cause": "gone", "since": START, "hint": "type this"})
        return found.model_copy(update={"stuck": body if name in self.stuck else None})

    def raise_if_stopped(self) -> None:
        if self.is_stopped:
            raise NotRunning("the stack is down", hint="stigmer up")

    async def observe(self, *, is_stuck_only: bool) -> Snapshot:
        self.observed += 1
        state = StackState.STOPPED if self.is_stopped else StackState.READY
        parts = (PartStatus(name="server", state=PartState.RUNNING, pid=4711),)
        stack = StackStatus(state=state, parts=parts, endpoints=ENDPOINTS, home="/home/me/.stigmer")
        page = StatusPage(stack=stack, home=Home(path=Path(stack.home)))
        if self.is_stopped:
            return Snapshot(now=NOW, page=page, problem="the stack is down", hint="stigmer up")
        shown = [self.resource(name) for name in self.rows if name in self.stuck or not is_stuck_only]
        return Snapshot(now=NOW, page=page, executions=shown)

    async def describe(self, execution: str) -> tuple[ExecutionResource, Sequence[EventBody], datetime]:
        self.raise_if_stopped()
        return self.resource(execution), [EventBody(seq=1, at=START, type=EventType.ACCEPTED, text="accepted")], NOW

    async def find_log_lines(self, execution: str) -> Sequence[str]:
        return [f"runner says something of {execution[-2:]}"]

    async def cancel(self, execution: str) -> str:
        self.raise_if_stopped()
        name = ExecutionId(execution)
        self.rows[name] = replace(self.rows[name], phase=Phase.CANCELLED)
        return "CANCELLED"

    async def reconcile(self, execution: str, *, includes_in_progress: bool) -> str:
        self.stuck.discard(ExecutionId(execution))
        return f"resubmitted, {includes_in_progress}"

    async def restart(self, part: str | None) -> str:
        self.restarted.append(part)
        return "ready again"


@asynccontextmanager
async def screen(stack: Stack, *, is_stuck_only: bool = False) -> AsyncIterator[Pilot[None]]:
    app = TopApp(stack, interval_s=10.0, is_stuck_only=is_stuck_only)
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        yield pilot


async def settle(pilot: Pilot[None]) -> None:
    """Wait until the screen has shown what the source says now, and has done what it was told."""
    assert isinstance(pilot.app, TopApp)
    stack = pilot.app._source
    assert isinstance(stack, Stack)
    for _ in range(2):
        seen = stack.observed
        pilot.app._refresh_asked.set()
        while stack.observed == seen:
            await pilot.pause(0.01)
    await pilot.pause()


def ids(pilot: Pilot[None]) -> list[str]:
    return [str(key.value) for key in pilot.app.query_one(DataTable).rows]


def text(pilot: Pilot[None], selector: str) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(pilot.app.screen_stack[0].query_one(selector, Static).content)
    return captured.get()


async def test_it_shows_the_stack_the_executions_and_the_selected_one() -> None:
    async with screen(Stack(execution(1), execution(2))) as pilot:
        assert len(ids(pilot)) == 2
        assert "ready  http://127.0.0.1:7234  /home/me/.stigmer" in text(pilot, "#stack")
        assert "server running 4711" in text(pilot, "#stack")
        assert "2 executions, 0 of them stuck" in text(pilot, "#stack")
        assert "runner says something of 01" in text(pilot, "#selected")
        await pilot.press("down")
        await settle(pilot)
        assert "runner says something of 02" in text(pilot, "#selected")


async def test_the_cursor_stays_on_its_execution_while_others_come_and_go() -> None:
    stack = Stack(execution(1), execution(2))
    async with screen(stack) as pilot:
        await pilot.press("down")
        chosen = ids(pilot)[1]
        stack.rows = {row.id: row for row in (execution(9), *stack.rows.values())}
        await settle(pilot)
        assert isinstance(pilot.app, TopApp)
        assert pilot.app.selected is not None
        assert (pilot.app.selected.metadata.id, len(ids(pilot))) == (chosen, 3)
        stack.rows = {}
        await settle(pilot)
        assert pilot.app.selected is None
        assert "no execution is selected" in text(pilot, "#selected")


async def test_only_the_stuck_ones_with_cause_and_way_out() -> None:
    stack = Stack(execution(1), execution(2, Phase.PENDING))
    stack.stuck = {execution(2).id}
    async with screen(stack) as pilot:
        assert "2 executions, 1 of them stuck" in text(pilot, "#stack")
        await pilot.press("s")
        await settle(pilot)
        assert ids(pilot) == [execution(2).id]
        assert "orphaned: gone" in text(pilot, "#selected")
        assert "hint: type this" in text(pilot, "#selected")
        await pilot.press("r")
        await settle(pilot)
        await pilot.press("y")
        await settle(pilot)
        assert ids(pilot) == []


@pytest.mark.parametrize(("answer", "phase"), [("y", Phase.CANCELLED), ("n", Phase.PENDING), ("escape", Phase.PENDING)])
async def test_a_change_is_made_only_after_a_yes(answer: str, phase: Phase) -> None:
    stack = Stack(execution(1, Phase.PENDING))
    async with screen(stack) as pilot:
        await pilot.press("c")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Confirm)
        await pilot.press(answer)
        await settle(pilot)
        assert not isinstance(pilot.app.screen, Confirm)
    assert stack.rows[execution(1).id].phase is phase


async def test_enter_shows_the_page_about_one() -> None:
    async with screen(Stack(execution(1))) as pilot:
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, Details)
        assert "accepted" in str(pilot.app.screen.query_one(Static).content)
        await pilot.press("escape")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, Details)


async def test_a_part_is_restarted_from_a_list() -> None:
    stack = Stack()
    async with screen(stack) as pilot:
        await pilot.press("R")
        await settle(pilot)
        await pilot.press("down", "enter")
        await settle(pilot)
    assert stack.restarted == ["server"]


async def test_a_stack_that_is_down_is_shown_and_its_return_too() -> None:
    stack = Stack(execution(1))
    async with screen(stack) as pilot:
        stack.is_stopped = True
        await settle(pilot)
        assert ids(pilot) == []
        assert "no executions can be shown: the stack is down  hint: stigmer up" in text(pilot, "#stack")
        await pilot.press("g", "c", "r")
        stack.is_stopped = False
        await settle(pilot)
        assert ids(pilot) == [execution(1).id]


async def test_an_error_of_a_key_is_shown_and_the_screen_goes_on() -> None:
    stack = Stack(execution(1))
    async with screen(stack) as pilot:
        await pilot.press("c")
        await settle(pilot)
        stack.is_stopped = True
        await pilot.press("y")
        await settle(pilot)
        assert any("the stack is down" in one.message for one in pilot.app._notifications)
        stack.is_stopped = False
        await settle(pilot)
        assert len(ids(pilot)) == 1


async def test_text_from_elsewhere_cannot_write_on_the_terminal() -> None:
    evil = replace(execution(1), message="\x1b]0;title\x07[bold]x[/bold]\x1b[2J", error="\x1b[31mred")
    async with screen(Stack(replace(evil, phase=Phase.FAILED))) as pilot:
        assert "message: [bold]x[/bold]" in text(pilot, "#selected")
        assert "\x1b" not in text(pilot, "#selected")


async def test_a_long_message_leaves_room_for_the_logs_of_its_execution() -> None:
    long = replace(execution(1), message="word " * 200, output="word " * 200)
    async with screen(Stack(long)) as pilot:
        lines = text(pilot, "#selected").splitlines()
        assert [line[:7] for line in lines] == ["aex-01k", "message", "output:", "runner "]


async def test_without_colours_no_text_is_dark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red became a grey that nobody could read, and with it what says why there is nothing to see."""
    monkeypatch.setenv("NO_COLOR", "1")
    stack = Stack()
    stack.is_stopped = True
    async with screen(stack) as pilot:
        drawn = pilot.app.export_screenshot()
    style = re.search(r'class="(\S+-r\d+)"[^>]*>no&#160;executions', drawn)
    assert style
    fill = re.search(rf"\.{re.escape(style[1])} {{ fill: #(\w\w)", drawn)
    assert fill
    assert int(fill[1], 16) > 0xB0


async def test_it_is_drawn_whole_again_when_it_comes_back_from_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what changed was drawn: the keys were missing until the terminal was resized."""
    drawn = io.StringIO()
    async with screen(Stack(execution(1))) as pilot:
        console = Console(file=drawn, width=100)

        def display(_screen: Screen[object], shown: RenderableType | None) -> None:
            console.print(shown or "")

        monkeypatch.setattr(pilot.app, "_display", display)
        await settle(pilot)
        assert "Quit" not in drawn.getvalue()
        pilot.app.app_resume_signal.publish(pilot.app)
        await settle(pilot)
        assert "Quit" in drawn.getvalue()


async def test_q_leaves() -> None:
    app = TopApp(Stack(), interval_s=10.0)
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert app.return_code == 0
