"""Asks a person at the terminal about calls of tools that wait for a decision, while an execution is followed.

The question goes away when somebody has decided elsewhere. Without a terminal it says what to type in another one.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable

from stigmer_cli.api.decisions import CallName, DecideItem, DecideOutcome, DecideRequest
from stigmer_cli.api.waiting import PendingCallBody
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.line_editor import can_edit
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.client import Client
from stigmer_cli.domain.waiting import REASON_MAX, Verdict, WaitFor
from stigmer_cli.errors import Unavailable

ARGUMENTS_MAX = 1_000
LOOK_S = 1.0
"""How often it is looked whether somebody has decided elsewhere."""

QUESTION = "approve? y, or n and a reason: "

_ANSWER = re.compile(r"(?P<word>y|yes|n|no)(?:[\s,:]+(?P<reason>.*))?", re.IGNORECASE | re.DOTALL)

Read = Callable[[str], Awaitable[str | None]]
"""What a person answers to a question; None where that is nothing: Ctrl-C, Ctrl-D."""


def parse_answer(text: str) -> tuple[Verdict, str] | None:
    """The decision in an answer, with the reason of a denial; None for anything else."""
    found = _ANSWER.fullmatch(text.strip())
    if found is None:
        return None
    is_yes = found["word"].lower().startswith("y")
    reason = (found["reason"] or "").strip()
    if is_yes:
        return None if reason else (Verdict.APPROVED, "")
    return Verdict.DENIED, reason[:REASON_MAX]


class ApprovalQuestions:
    """Asks about each call until it was answered, once. A call that is left undecided goes on waiting."""

    def __init__(self, cli: Cli, client: Client, *, read: Read | None = None) -> None:
        """`read` asks the person; without it a line editor does, if there is a terminal."""
        self._cli = cli
        self._client = client
        self._read = read or (_read_line if can_edit(cli) else None)
        self._asked: set[tuple[str, str]] = set()

    async def ask(self, execution: str) -> None:
        """Ask about the calls of `execution` that wait now; raises what the server's answers lead to."""
        for call in await self._find(execution):
            key = (call.step, call.since.isoformat())
            if key not in self._asked:
                await self._ask_about(execution, call)
                self._asked.add(key)

    async def _find(self, execution: str) -> list[PendingCallBody]:
        waiting = (await self._client.execution(execution)).status.waiting
        return list(waiting.calls) if waiting is not None and waiting.wait_for == WaitFor.APPROVAL else []

    async def _ask_about(self, execution: str, call: PendingCallBody) -> None:
        arguments = truncate_line(json.dumps(call.arguments, ensure_ascii=False), ARGUMENTS_MAX)
        self._cli.out.note(f"{call.tool} {arguments} ({call.step}) waits for your decision")
        decision = await self._hear(execution, call) if self._read is not None else None
        if decision is None:
            if await self._is_waiting(execution, call):
                self._cli.out.hint(f"stigmer executions approve {execution} {call.step}, or deny")
            return
        verdict, reason = decision
        request = DecideRequest(calls=[CallName(id=execution, step=call.step)], verdict=verdict, reason=reason)
        item = await self._decide(request)
        if item.outcome is not DecideOutcome.DECIDED:
            self._cli.out.note(item.reason or f"nothing was decided: {item.outcome}")

    async def _decide(self, request: DecideRequest) -> DecideItem:
        """What came of the decision, which counts once: it is sent until the server answers."""
        is_told = False
        while True:
            try:
                [item] = await self._client.decide(request)
            except Unavailable as error:
                if not is_told:
                    self._cli.out.note(f"{error.message}; your decision is sent when it is back")
                is_told = True
                await self._cli.clock.sleep(max(LOOK_S, error.retry_after_s))
            else:
                return item

    async def _hear(self, execution: str, call: PendingCallBody) -> tuple[Verdict, str] | None:
        """What the person decides; None where that is nothing, or somebody else decides first.

        Raises what the server's answers lead to.
        """
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(self._ask_until_clear(), name="ask")
                looking = group.create_task(self._wait_until_decided(execution, call), name="look")
                await asyncio.wait({asking, looking}, return_when=asyncio.FIRST_COMPLETED)
                for task in (asking, looking):
                    task.cancel()
        except ExceptionGroup as group_of:
            raise group_of.exceptions[0] from None
        if asking.cancelled():
            self._cli.out.note(f"{call.step} was decided elsewhere")
            return None
        return asking.result()

    async def _ask_until_clear(self) -> tuple[Verdict, str] | None:
        while self._read is not None:
            text = await self._read(QUESTION)
            if text is None:
                return None
            if (decision := parse_answer(text)) is not None:
                return decision
        return None

    async def _wait_until_decided(self, execution: str, call: PendingCallBody) -> None:
        while await self._is_waiting(execution, call):
            await self._cli.clock.sleep(LOOK_S)

    async def _is_waiting(self, execution: str, call: PendingCallBody) -> bool:
        """Whether the call still waits, as far as the server can be asked."""
        try:
            return any((one.step, one.since) == (call.step, call.since) for one in await self._find(execution))
        except Unavailable:
            return True


async def _read_line(question: str) -> str | None:
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - for a question only

    from stigmer_cli.cli.line_editor import make_output, no_color  # noqa: PLC0415

    session = PromptSession[str](question, output=make_output(), color_depth=no_color(), enable_suspend=True)
    try:
        text: str = await session.prompt_async(handle_sigint=False)
    except (EOFError, KeyboardInterrupt):
        return None
    return text
