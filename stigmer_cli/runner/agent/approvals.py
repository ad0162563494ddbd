"""Calls that a person has to approve: which of a turn wait for that, and what was decided about the others.

A turn waits as a whole, before any of its calls is performed: so they are performed in the order of the model, and none
is in the air while the execution waits.
"""

import json
from collections.abc import Mapping, Sequence

from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.waiting import AskedCallBody
from stigmer_cli.domain.step import INPUT_BYTES_MAX, NAME_MAX, hash_of
from stigmer_cli.domain.waiting import CALLS_MAX, Verdict, WaitFor, describe_approval
from stigmer_cli.runner.agent.conversation import AskedFor, Conversation
from stigmer_cli.runner.journal import Json, canonical_json
from stigmer_cli.runner.transcript import to_storable
from stigmer_cli.runner.waits import Wait, Waits, to_cause
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.tool_server.result import Tool

SHOWN_BYTES_MAX = 2 * 1024 * 1024
"""How long the arguments of all calls of a turn may be, as they are reported: half of what a request may have."""


class Approvals:
    """What persons decided about the calls of one execution, as one attempt of it sees that."""

    def __init__(self, tools: Mapping[str, Tool], conversation: Conversation) -> None:
        """`tools` are all that the model may call, by what models call them."""
        self._guarded = {name: tool for name, tool in tools.items() if tool.needs_approval}
        self._conversation = conversation

    async def find_ruling(self, key: str, arguments: Mapping[str, Json]) -> DecisionBody | None:
        """What was decided about the call that is `key`, also where nobody has to be asked any more; None for nothing.

        Raises Waits as long as a call of the present turn is not decided.
        """
        if not self._guarded and not await self._conversation.is_turn_recorded():
            return None
        decisions = await self._conversation.journal.read_decisions()
        pending = [call for call in self._conversation.asked_for if await self._is_pending(call, decisions)]
        if pending:
            raise Waits(self._ask(pending))
        found = decisions.get(key)
        return found if found is not None and found.arguments_hash == _hash_of(arguments) else None

    async def _is_pending(self, call: AskedFor, decisions: Mapping[str, DecisionBody]) -> bool:
        if call.name not in self._guarded:
            return False
        decided = decisions.get(call.key)
        if decided is not None and decided.arguments_hash == _hash_of(call.arguments):
            return False
        return not await self._conversation.journal.is_recorded(call.key)

    def _ask(self, pending: list[AskedFor]) -> Wait:
        first = self._guarded[pending[0].name]
        return Wait(
            wait_for=WaitFor.APPROVAL,
            step=pending[0].key,
            cause=to_cause(describe_approval(first.name)),
            calls=_shorten([_body_of(call, self._guarded[call.name]) for call in pending[:CALLS_MAX]]),
        )


def describe_denial(ruling: DecisionBody) -> str:
    """What the model is told of a call that a person denied."""
    return "a person denied this call" + (f": {ruling.reason}" if ruling.reason else "")


def is_denied(ruling: DecisionBody | None) -> bool:
    """Whether the call must not be performed."""
    return ruling is not None and ruling.verdict is Verdict.DENIED


def _hash_of(arguments: Mapping[str, Json]) -> str:
    return hash_of(canonical_json(arguments))


def _body_of(call: AskedFor, tool: Tool) -> AskedCallBody:
    text = canonical_json(call.arguments)
    shown = DELIVERED.redact_json(to_storable(text))
    return AskedCallBody(
        step=call.key,
        tool=to_storable(tool.name)[:NAME_MAX],
        arguments_hash=hash_of(text),
        arguments=shown if len(shown.encode()) <= INPUT_BYTES_MAX else None,
    )


def _shorten(calls: Sequence[AskedCallBody]) -> list[AskedCallBody]:
    """`calls`, without the arguments of those that would make the report longer than the server takes."""
    left, shortened = SHOWN_BYTES_MAX, []
    for call in calls:
        size = len(json.dumps(call.arguments))  # inside JSON each quote of it takes two bytes
        shortened.append(call if size <= left else call.model_copy(update={"arguments": None}))
        left -= size if size <= left else 0
    return shortened
