"""A subscription of `call: asyncapi`: takes messages while the task performs, and records each before it is used.

A replay takes what is recorded, and subscribes again only for what is still to come. What is sent while nobody is
subscribed is lost, unless the service keeps it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import cast

from stigmer_cli.domain.step import Effect
from stigmer_cli.json_text import dump_json
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.flow import END
from stigmer_cli.workflow.interpreter.iteration import Iteration
from stigmer_cli.workflow.interpreter.run import Flow, Run, Visit, shorten_key
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, Subscriptions, TaskStep

Connect = Callable[[], Awaitable[AsyncIterator[Json]]]
MESSAGES_MAX = 10_000
OUTPUT_BYTES_MAX = 8 * 1024 * 1024

SILENT_S = 1_200.0
"""How long nothing comes in until that is recorded: an attempt lasts for an hour at most, and ten that record nothing
look like runners that died."""


async def perform_subscription(
    run: Run, visit: Visit, request: CallRequest, subscriptions: Subscriptions, declared: Mapping[str, Json]
) -> Flow:
    """Its output is the list of messages that it consumed, or what `foreach` made of each."""
    consume = cast("Mapping[str, Json]", declared["consume"])
    path = (*visit.task.path, "with", "subscription", "foreach")
    iteration = Iteration(run, visit, declared.get("foreach"), path)
    messages: list[Json] = []
    output: list[Json] = []
    length = 0
    async with AsyncExitStack() as stack:
        source = _Source(
            run=run,
            visit=visit,
            condition=cast("str | None", declared.get("filter")),
            until_ms=await _find_deadline(run, visit, consume),
            connect=lambda: stack.enter_async_context(subscriptions.open(request)),
        )
        while await _goes_on(run, visit, consume, messages):
            if (message := await source.take(len(messages))) is None:
                break
            messages.append(message)
            flow = await iteration.run(len(messages) - 1, message)
            output.append(flow.output)
            length += len(dump_json(flow.output))
            if len(messages) >= MESSAGES_MAX or length > OUTPUT_BYTES_MAX:
                limits = f"{MESSAGES_MAX:,} messages, or {OUTPUT_BYTES_MAX:,} bytes"
                raise make_error(ErrorType.RUNTIME, f"no subscription may take more than {limits}")
            if flow.directive == END:
                return Flow(output=output, directive=END)
    return Flow(output=output)


async def _goes_on(run: Run, visit: Visit, consume: Mapping[str, Json], messages: list[Json]) -> bool:
    """Whether another message is wanted: `while` and `until` are asked about the list of those that were consumed."""
    if isinstance(amount := consume.get("amount"), int):
        return len(messages) < amount
    if isinstance(until := consume.get("until"), str):
        return not await run.is_true(until, messages, visit.scope)
    goes_on = consume.get("while")
    return not messages or not isinstance(goes_on, str) or await run.is_true(goes_on, messages, visit.scope)


async def _find_deadline(run: Run, visit: Visit, consume: Mapping[str, Json]) -> int | None:
    """Until when messages are consumed, in milliseconds since 1970; None for no end."""
    if "for" not in consume:
        return None
    length_ms = run.parse_duration(await run.fill(consume["for"], visit.input, visit.scope))
    return await run.set_time(f"{visit.key}/until", f"{visit.task.name}: end of the subscription", length_ms)


@dataclass(kw_only=True)
class _Source:
    """The messages, of which the first ones may be recorded."""

    run: Run
    visit: Visit
    condition: str | None
    until_ms: int | None
    connect: Connect
    messages: AsyncIterator[Json] | None = field(default=None)
    silences: int = 0

    async def take(self, number: int) -> Json:
        """The message with this number; None where time is up."""
        step = TaskStep(
            key=shorten_key(f"{self.visit.key}/messages/{number}"),
            name=f"message for {self.visit.task.name}",
            effect=Effect.REPEATABLE,
            input=None,
        )
        return await self.run.perform_step(step, self._receive)

    async def _receive(self) -> Json:
        async with asyncio.TaskGroup() as group:
            noting = group.create_task(self._note_silence(), name="silence of a subscription")
            try:
                message, error = await self._receive_next(), None
            except Exception as failure:  # noqa: BLE001 - raised as it is, not in a group
                message, error = None, failure
            noting.cancel()
        if error is not None:
            raise error
        return message

    async def _note_silence(self) -> None:
        while True:
            await asyncio.sleep(SILENT_S)
            while await self.run.find(self._silence_key) is not None:  # by an earlier attempt
                self.silences += 1
            await self.run.perform(self._silence_key, f"{self.visit.task.name}: nothing came in", None, _tell_silence)
            self.silences += 1  # a journal finds what earlier attempts recorded, not what this one did

    @property
    def _silence_key(self) -> str:
        return f"{self.visit.key}/silence/{self.silences}"

    async def _receive_next(self) -> Json:
        left_s = None if self.until_ms is None else max(0, self.until_ms - self.run.world.now_ms()) / 1_000
        try:
            async with asyncio.timeout(left_s):
                if self.messages is None:
                    self.messages = await self.connect()
                async for message in self.messages:
                    is_wanted = self.condition is None or await self._fits(message)
                    if is_wanted:
                        return message
        except TimeoutError:
            return None
        raise make_error(ErrorType.COMMUNICATION, "the service has ended the subscription")

    async def _fits(self, message: Json) -> bool:
        return await self.run.is_true(cast("str", self.condition), message, self.visit.scope)


async def _tell_silence() -> Json:
    return True
