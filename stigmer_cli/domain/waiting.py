"""What an execution waits for while nobody works on it: a decision, a time, an event, another execution, or a repair.

    IN_PROGRESS ──its attempt reports that it has to wait──▶ IN_PROGRESS, waiting: no run, no slot, no workflow
                                                                │
                      decided, resumed, or the time has come ───┴──▶ PENDING in the next epoch, the journal kept
                                               cancelled ───────┴──▶ CANCELLED at once

What ends a wait and the next epoch's place in the queue are one commit: no decision is recorded and not delivered.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from stigmer_cli.json_text import is_deeper, read_json

CAUSE_MAX = 2_000
REASON_MAX = 2_000
CALLS_MAX = 200
"""How many calls of one turn may wait for a decision."""

ARGUMENTS_DEPTH_MAX = 100
"""pydantic, which writes the call, writes some 200 levels: the call would seem to have been lost on its way."""


class WaitFor(StrEnum):
    """What an execution waits for; scripts may rely on these words.

    The last three are pauses: RETRIES are used up, a LIMIT is reached, or a TOOL_SERVER cannot be used.
    """

    APPROVAL = "approval"
    TIME = "time"
    EVENT = "event"
    EXECUTION = "execution"
    RETRIES = "retries"
    LIMIT = "limit"
    TOOL_SERVER = "tool-server"

    @property
    def is_pause(self) -> bool:
        """Whether it goes on only when a person says `resume`, who should repair something before."""
        return self in PAUSES


PAUSES = frozenset({WaitFor.RETRIES, WaitFor.LIMIT, WaitFor.TOOL_SERVER})


class Verdict(StrEnum):
    """What a person decided about a call; scripts may rely on these words."""

    APPROVED = "approved"
    DENIED = "denied"


def describe_approval(tool: str) -> str:
    """Why an execution waits whose next call is one of `tool`, as a sentence."""
    return f"{tool} needs your approval"


def check_arguments(text: str) -> str:
    """The arguments of a call in `text`, always the same text for the same ones.

    Raises ValueError, with words that follow "the arguments", where they are no JSON object.
    """
    try:
        value = read_json(text)
    except ValueError as error:
        raise ValueError(f"are not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("are not a JSON object")  # noqa: TRY004 - the text is wrong
    if is_deeper(value, ARGUMENTS_DEPTH_MAX):
        raise ValueError(f"are nested deeper than {ARGUMENTS_DEPTH_MAX} levels")
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class PendingCall:
    """A call of a tool that waits for a decision. `arguments` is JSON text; None where it is too long to be shown."""

    step: str
    tool: str
    arguments: str | None
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What an execution waits for.

    `step` is the key of the step that waits, and `cause` a sentence. `until` is when it goes on by itself; None: it
    does not. `calls` are those that wait for a decision, as far as they were read.
    """

    wait_for: WaitFor
    step: str | None
    since: datetime
    until: datetime | None
    cause: str
    calls: tuple[PendingCall, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CallDecision:
    """What became of a call that needs a decision; `verdict` None: nothing yet.

    `arguments_hash` says which arguments it is about, and `arguments` (JSON text) those that a person put in their
    place, if any.
    """

    step: str
    tool: str
    arguments_hash: str
    verdict: Verdict | None = None
    reason: str = ""
    arguments: str | None = None
    decided_at: datetime | None = None
