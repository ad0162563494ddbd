"""One turn of a chat: a message is accepted, and its answer is followed; Ctrl-C cancels it, and the chat goes on."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.ask_approval import ApprovalQuestions
from stigmer_cli.cli.executions.create import Creation, create
from stigmer_cli.cli.executions.follow import EventPrinter, follow
from stigmer_cli.client import Client
from stigmer_cli.errors import StigmerError

ACCEPTED_WITHIN_S = 120.0
"""For how long a server that is away is waited for before a message is given back."""


class Turn:
    """A message on its way, or an execution that is followed because an earlier chat has left it."""

    def __init__(self, cli: Cli, client: Client, execution: str) -> None:
        self._cli = cli
        self._client = client
        self._execution = execution
        self._printer = EventPrinter(cli.out)
        self._is_accepted = False
        self._interrupts = 0

    async def send(self, wanted: Creation) -> ExecutionResource | StigmerError | None:
        """The execution as it ended, or what kept the message from being accepted; None where the person left it."""

        async def ask() -> ExecutionResource:
            accepted = await create(self._cli, self._client, wanted, timeout_s=ACCEPTED_WITHIN_S)
            self._execution = accepted.metadata.id
            self._is_accepted = True
            return await self._follow()

        return await self._take(ask)

    async def resume(self) -> ExecutionResource | StigmerError | None:
        """As `send`, for an execution that was accepted before."""
        self._is_accepted = True
        return await self._take(self._follow)

    async def _follow(self) -> ExecutionResource:
        questions = ApprovalQuestions(self._cli, self._client)
        return await follow(self._client, self._execution, self._printer, self._cli.clock, questions)

    async def _take(self, ask: Callable[[], Awaitable[ExecutionResource]]) -> ExecutionResource | StigmerError | None:
        async def guarded() -> ExecutionResource | StigmerError:
            try:
                return await ask()
            except StigmerError as error:
                return error

        async with asyncio.TaskGroup() as group:
            asking = group.create_task(guarded(), name="turn")
            with _on_interrupt(lambda: self._interrupt(group, asking)):
                await asyncio.wait({asking})
        return None if asking.cancelled() else asking.result()

    def _interrupt(self, group: asyncio.TaskGroup, asking: "asyncio.Task[object]") -> None:
        self._interrupts += 1
        if self._is_accepted and self._interrupts == 1:
            self._printer.note("cancelling the answer; Ctrl-C again returns to the prompt at once")
            group.create_task(self._cancel(), name="cancel")
        else:
            asking.cancel()

    async def _cancel(self) -> None:
        with suppress(StigmerError):  # a server that is away is told of by what follows
            await self._client.cancel_execution(self._execution)


@contextmanager
def _on_interrupt(call: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C call `call` in the block; afterwards it does what it did before."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, call)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
