"""A session: executions with one agent, in order, each of which sees what was asked and answered before it.

The conversation that an execution sees is the questions of the executions before it that have COMPLETED, and their
answers, without what their tools were called with. Which these are is decided once, when it begins.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase

NAME_MAX = 100
NAME_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_MAX - 1}}}$"
NAME_RULE = f"up to {NAME_MAX} letters, digits, dots, hyphens and underscores, and begins with a letter or a digit"

EXCHANGES_MAX = 100
"""How many questions of the past an execution sees, with their answers: the newest."""

CHARS_MAX = 200_000
"""How many characters these have together; about 50,000 tokens."""

OPEN_MAX = 100
"""How many executions of a session may be open: one that runs, and those that wait for their turn."""

_NAME = re.compile(NAME_PATTERN)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What was asked in an execution, and answered. `turns` is how many answers of the model that took."""

    execution: ExecutionId
    message: str
    output: str
    turns: int = 1


@dataclass(frozen=True, kw_only=True)
class ExchangeSize:
    """How many characters an exchange has."""

    execution: ExecutionId
    chars: int


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session, and the last execution in it. `updated_at` is when that was accepted."""

    name: str
    agent_name: str
    created_at: datetime
    updated_at: datetime
    executions: int
    last: ExecutionId
    last_phase: Phase
    last_message: str


def find_name_problem(name: str) -> str:
    """Why `name` cannot name a session, as a sentence; empty if it can."""
    return "" if _NAME.fullmatch(name) else f"{name[:NAME_MAX]!r} cannot name a session: a name is {NAME_RULE}"


def choose_newest(newest_first: Sequence[ExchangeSize]) -> Sequence[ExecutionId]:
    """Which of the exchanges are seen, oldest first: the newest ones, without a gap, as far as the limits reach."""
    chosen: list[ExecutionId] = []
    chars = 0
    for one in newest_first[:EXCHANGES_MAX]:
        chars += one.chars
        if chars > CHARS_MAX:
            break
        chosen.append(one.execution)
    return chosen[::-1]
