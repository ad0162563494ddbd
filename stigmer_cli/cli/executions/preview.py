"""The executions that a command would change, as a table before the question."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self, TypeVar

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_reason import PHASE_STYLES
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.client import PAGE_MAX, Client
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ConfigError
from stigmer_cli.time_format import ago

T = TypeVar("T")
OPEN = tuple(phase for phase in Phase if not phase.is_terminal)
ENDED = tuple(phase for phase in Phase if phase.is_terminal)
SHOWN_MAX = 20
MESSAGE_MAX = 60

COLUMNS = (
    Column(name="ID", rank=0),
    Column(name="AGENT", rank=3),
    Column(name="PHASE", rank=1),
    Column(name="AGE", rank=2, is_right=True),
    Column(name="MESSAGE", rank=4, width_min=16),
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a preview shows of an execution: little, for there may be a million."""

    id: str
    agent: str
    phase: Phase
    created_at: datetime
    message: str

    @classmethod
    def of(cls, item: ExecutionResource) -> Self:
        """The candidate for an execution."""
        return cls(
            id=item.metadata.id,
            agent=item.spec.runs,
            phase=item.status.phase,
            created_at=item.metadata.created_at,
            message=truncate_line(item.spec.asked, MESSAGE_MAX),
        )


def _everything(_: ExecutionResource) -> bool:
    return True


NOT_AMONG = {OPEN: "has ended", ENDED: "has not ended"}
"""Why an execution in another phase is none of those that a command changes."""


async def find_candidates(
    client: Client,
    query: Query,
    among: Sequence[Phase] = OPEN,
    *,
    is_wanted: Callable[[ExecutionResource], bool] = _everything,
) -> list[Candidate]:
    """The executions of `query` in the phases `among` that are wanted, newest first.

    Raises ConfigError if `query` asks for other phases only.
    """
    phases = [phase for phase in query.phases or among if phase in among]
    if not phases:
        asked, state = ", ".join(query.phases), NOT_AMONG.get(tuple(among), "cannot be chosen here")
        raise ConfigError(f"--phase {asked}: such an execution {state}", hint=f"--phase {' or '.join(among)}")
    found: list[Candidate] = []
    cursor = None
    while True:
        page = await client.executions(replace(query, phases=phases, limit=PAGE_MAX, cursor=cursor))
        found.extend(Candidate.of(item) for item in page.items if is_wanted(item))
        cursor = page.next_cursor
        if cursor is None:
            return found


def describe_number(found: Sequence[Candidate]) -> str:
    """How many a question is about: `this execution`, or `1,204 executions`."""
    return f"{len(found):,} executions" if len(found) > 1 else "this execution"


def print_preview(console: Console, found: Sequence[Candidate], now: datetime) -> None:
    """Print how many there are of each phase, and the first `SHOWN_MAX`."""
    phases = Counter(one.phase for one in found)
    head = ", ".join(f"{number:,} {phase}" for phase, number in phases.most_common())
    console.print(head, soft_wrap=True)
    print_first(
        console,
        COLUMNS,
        found,
        lambda one: (
            Text(one.id),
            Text(truncate_line(one.agent, 20)),
            Text(one.phase, style=PHASE_STYLES[one.phase]),
            Text(ago(one.created_at, now)),
            Text(one.message),
        ),
    )


def print_first(
    console: Console, columns: Sequence[Column], found: Sequence[T], row_of: Callable[[T], tuple[Text, ...]]
) -> None:
    """Print the first `SHOWN_MAX` as a table, and how many more there are."""
    print_table(console, columns, [row_of(one) for one in found[:SHOWN_MAX]])
    if len(found) > SHOWN_MAX:
        console.print(f"... and {len(found) - SHOWN_MAX:,} more")


def check_can_ask(cli: Cli, doing: str) -> None:
    """Raise ConfigError where nobody can be asked before `doing` what a command does to executions."""
    require_person(cli, doing, hint="add --yes, or --dry-run to look only")


def agree_on(cli: Cli, found: Sequence[Candidate], question: str, *, otherwise: str) -> None:
    """Show what would be changed, and return once a person has agreed; raises as `ask_to_agree` does."""
    print_preview(cli.out.stderr, found, cli.now())
    ask_to_agree(cli, question, otherwise=otherwise)
