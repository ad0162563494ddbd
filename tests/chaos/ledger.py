"""The ledger, a record of effects outside the system: each runner appends one line a performance. And its rules."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Line:
    """A performance began: which attempt of which run of which epoch, and when in seconds since 1970.

    `turn` counts the turns of an agent that uses tools, from 0.
    """

    execution: str
    epoch: int
    run: str
    attempt: int
    at_s: float
    turn: int = 0

    def place(self, claims: Sequence[str]) -> tuple[int, int, int]:
        """Where its attempt stands among those of the execution, whose runs have claimed in the order of `claims`."""
        return self.epoch, claims.index(self.run), self.attempt

    def to_bytes(self) -> bytes:
        """The line of the file."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class LedgerFiles:
    """The records of what runners, and the tools that they called, performed."""

    models: Path
    tools: Path


def read(path: Path) -> Mapping[str, Sequence[Line]]:
    """All lines by execution, in the order in which they were appended."""
    found: dict[str, list[Line]] = {}
    if path.exists():
        for text in path.read_text().splitlines():
            line = Line(**json.loads(text))
            found.setdefault(line.execution, []).append(line)
    return found


def attempts_in(lines: Sequence[Line]) -> int:
    """How many attempts performed something."""
    return len({(line.epoch, line.run, line.attempt) for line in lines})


def wrong_effects(
    lines: Sequence[Line], claims: Sequence[str], completed_s: float | None, *, may_repeat: bool = False
) -> str:
    """What is wrong with the effects; empty if nothing is.

    `claims` are the runs that claimed, from the store's timeline. Effects only of a run that claimed; each attempt
    once, unless it `may_repeat`; none begins after `completed_s`, when the outcome was reported, unless another one has
    overtaken it: a runner that got its answer late asks its model in vain, and what it reports then does not count.
    """
    for line in lines:
        if line.run not in claims:
            return f"run {line.run} performed epoch {line.epoch} without its claim"
    attempts = Counter((line.epoch, line.run, line.attempt, line.turn) for line in lines)
    twice = [attempt for (_, _, attempt, _), count in attempts.items() if count > 1]
    if twice and not may_repeat:
        return f"attempts {twice} were performed more than once"
    if completed_s is not None:
        last = max((line.place(claims) for line in lines if line.at_s <= completed_s), default=(0, 0, 0))
        late = [line for line in lines if line.at_s > completed_s and line.place(claims) >= last]
        if late:
            by_s = late[-1].at_s - completed_s
            return f"performed {by_s:.3f} s after the outcome was reported at {completed_s:.3f}: {late}"
    return ""
