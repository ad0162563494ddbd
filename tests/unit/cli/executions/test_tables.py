"""Executions as people read them, at the widths that terminals have."""

import io
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.cli.executions.list_tables import print_executions, print_stuck
from stigmer_cli.cli.executions.tables import print_execution
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.reason import explain_wait
from tests.support.execution_rows import row
from tests.support.fakes import START, SwitchedLink

GOLDEN_80 = """\
ID                              AGENT    PHASE        AGE  WHY
aex-01kqrxnp6m8w8t6e3d2m5k7j9z  greeter  PENDING       1h  Temporal unreachable…
aex-01kqrxnp6m8w8t6e3d2m5k7j9z  greeter  IN_PROGRESS   1h  attempt 2 runs on st…
aex-01kqrxnp6m8w8t6e3d2m5k7j9z  greeter  FAILED        1h  no model [red]x[/red]
"""
GOLDEN_120 = """\
ID                              AGENT    PHASE        AGE  TOOK  WHY                                             MESSAGE
aex-01kqrxnp6m8w8t6e3d2m5k7j9z  greeter  PENDING       1h        Temporal unreachable at 127.0.0.1:7233 since …  hello
aex-01kqrxnp6m8w8t6e3d2m5k7j9z  greeter  IN_PROGRESS   1h    5s  attempt 2 runs on stigmer-runner/1              hello
aex-01kqrxnp6m8w8t6e3d2m5k7j9z  greeter  FAILED        1h        no model [red]x[/red]                           hello
"""
GOLDEN_COMPLETED = """\
ID                              AGENT    PHASE      AGE  MESSAGE
aex-01kqrxnp6m8w8t6e3d2m5k7j9z  greeter  COMPLETED   1h  deploy the service to …
"""
GOLDEN_COMPLETED_WIDE = """\
ID                              AGENT    PHASE      AGE    TOOK  MESSAGE                                LABELS
aex-01kqrxnp6m8w8t6e3d2m5k7j9z  greeter  COMPLETED   1h  1m 30s  deploy the service to the next region  env=prod,seen
"""


def _printed(width: int, *, has_colour: bool) -> str:
    link = SwitchedLink(ConnectionState.DISCONNECTED, cause="connection refused")
    running = replace(
        row(Phase.IN_PROGRESS, submitted_s_ago=9), claimed_by="stigmer-runner/1", claimed_attempt=2, started_at=START
    )
    failed = replace(row(Phase.FAILED, submitted_s_ago=9), error="no model\x1b[2J [red]x[/red]", completed_at=START)
    rows = [explain_wait(row(), link.status()), running, failed]
    console = Console(
        file=io.StringIO(), width=width, force_terminal=has_colour, color_system="standard" if has_colour else None
    )
    print_executions(console, [execution_resource(one) for one in rows], START + timedelta(seconds=5))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.parametrize(("width", "golden"), [(80, GOLDEN_80), (120, GOLDEN_120)])
def test_the_list_fits_the_terminal_and_cuts_only_the_reason(width: int, golden: str) -> None:
    assert _printed(width, has_colour=False) == golden


@pytest.mark.parametrize(
    ("width", "golden"),
    [
        (20, "ID\naex-01kqrxnp6m8w8t6e3d2m5k7j9z\n"),
        (44, "ID                              PHASE\naex-01kqrxnp6m8w8t6e3d2m5k7j9z  PENDING\n"),
        (49, "ID                              PHASE        AGE\naex-01kqrxnp6m8w8t6e3d2m5k7j9z  PENDING       1h\n"),
    ],
)
def test_in_a_narrow_terminal_columns_are_left_out_and_no_id_is_cut(width: int, golden: str) -> None:
    assert _printed(width, has_colour=False).startswith(golden)


def test_colours_appear_on_a_terminal_only() -> None:
    assert "\x1b[33mPENDING" in _printed(120, has_colour=True)
    assert "\x1b" not in _printed(120, has_colour=False)


def test_the_page_about_one_has_its_tokens() -> None:
    console = Console(file=io.StringIO(), width=80)
    finer = {"cache_read_tokens": 64, "output_reasoning_tokens": 20}
    used = TokenUsage(model="openai:gpt-5", input_tokens=1812, output_tokens=96, details=finer)
    print_execution(console, execution_resource(replace(row(Phase.FAILED), usage=used)), [], [])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "tokens:    1,812 in (64 cached), 96 out (20 reasoning), openai:gpt-5\n" in text


def test_the_page_about_one_shows_its_text_inert() -> None:
    console = Console(file=io.StringIO(), width=80)
    failed = replace(row(Phase.FAILED), error="\x1b]0;title\x07[bold]x[/bold]", completed_at=START)
    print_execution(console, execution_resource(failed), [], [])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    assert "[bold]x[/bold]" in text


@pytest.mark.parametrize(("width", "golden"), [(80, GOLDEN_COMPLETED), (120, GOLDEN_COMPLETED_WIDE)])
def test_what_completed_shows_its_message_and_how_long_it_took(width: int, golden: str) -> None:
    done = replace(
        row(Phase.COMPLETED),
        started_at=START,
        completed_at=START + timedelta(seconds=90),
        message="deploy the service\nto the next \x1b[2Jregion",
        labels={"seen": "", "env": "prod"},
    )
    console = Console(file=io.StringIO(), width=width)
    print_executions(console, [execution_resource(done)], START)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "".join(f"{line.rstrip()}\n" for line in text.splitlines()) == golden


def test_where_nothing_matches_it_says_what_was_asked_for() -> None:
    console = Console(file=io.StringIO(), width=200)
    print_executions(console, [], START, asked="--label '[red]x'")
    print_stuck(console, [], START, asked="--agent a")
    print_executions(console, [], START)
    assert console.file.getvalue() == (  # type: ignore[attr-defined]
        "no executions match --label '[red]x'\nno execution is stuck of those that match --agent a\nno executions\n"
    )
