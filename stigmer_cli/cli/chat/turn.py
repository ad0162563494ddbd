"""One turn of a chat: a message is accepted, and its answer is followed; Ctrl-C cancels it, and the chat goes on."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.ask_approval import ApprovalQuestions
from stigmer_cli.cli.executions.create import Creation, create
from stigmer_cli.cli.executions.follow import AGAIN_S, EventPrinter, follow
from stigmer_cli.client import Client
from stigmer_cli.domain.stuck import CANCEL
from stigmer_cli.errors import StigmerError, Unavailable

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
        self._group: asyncio.TaskGroup | None = None
        self._asking: asyncio.Task[ExecutionResource | StigmerError] | None = None
        self._cancelling: asyncio.Task[None] | None = None
        self._is_cancelled = False
        """Whether the server has been told that the answer is to end."""
        self._refusal = ""

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

        with _on_interrupt(self._interrupt):
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._asking = group.create_task(guarded(), name="turn")
                await asyncio.wait({self._asking})
                if self._cancelling is not None:
                    self._cancelling.cancel()
        ended = None if self._asking.cancelled() else self._asking.result()
        if self._cancelling is not None and not self._is_cancelled and not _is_over(ended):
            reason = f": {self._refusal}" if self._refusal else ""
            self._printer.note(f"the server has not confirmed the cancellation; the answer may go on{reason}")
            self._cli.out.hint(f"{CANCEL} {self._execution}")
        return ended

    def _interrupt(self) -> None:
        if self._asking is None or self._group is None:
            return
        self._printer.break_line()
        if self._is_accepted and self._cancelling is None:
            self._printer.note("cancelling the answer; Ctrl-C again returns to the prompt at once")
            self._cancelling = self._group.create_task(self._cancel(), name="cancel")
        else:
            self._asking.cancel()

    async def _cancel(self) -> None:
        """Ask for the end of the answer until the server has been told."""
        while True:
            try:
                await self._client.cancel_execution(self._execution)
            except Unavailable as error:  # what is followed meanwhile tells of it
                self._refusal = error.message
                await self._cli.clock.sleep(max(AGAIN_S, error.retry_after_s))
            except StigmerError as error:
                self._refusal = error.message
                return
            else:
                self._is_cancelled = True
                return


def _is_over(ended: ExecutionResource | StigmerError | None) -> bool:
    return isinstance(ended, ExecutionResource) and ended.status.phase.is_terminal


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
