"""Where the loop stands: which turn it is in, which place a call has in that turn, and what has ended it."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.runner.agent.budget import Budget
from stigmer_cli.runner.journal import Json, Performed, StepCall

BETWEEN_TURNS = "\n\n"


class StepJournal(Protocol):
    """The journal as the loop sees it: see `Journal.perform`."""

    async def perform(
        self, step: StepCall, effect: Callable[[], Awaitable[Json | Performed]], *, admit: Callable[[], None] = ...
    ) -> Json:
        """The step's recorded result, or what `effect` returns; `admit` may refuse to perform it."""

    async def list_recorded_tools(self) -> Collection[str]:
        """The names of the tools of which calls are recorded."""


class Conversation:
    """What the wrapped model and the wrapped tools of one attempt share."""

    def __init__(self, journal: StepJournal, write: Callable[[str], object], budget: Budget) -> None:
        """`write` takes the text of the turns, as it comes."""
        self.journal = journal
        self.budget = budget
        self.is_answering = False
        """Whether the model has begun an answer that it has not ended."""
        self.has_progressed = False
        """Whether this attempt has performed and recorded a step."""
        self.unrecorded: list[TokenUsage] = []
        """What requests used whose answers are not recorded, because they broke off."""
        self.withdrawn: Collection[str] = ()
        """Tools of which calls are recorded, and which are not there any more: the model is not told of them."""
        self.end: Exception | None = None
        """What has ended the loop from within; pydantic-ai may wrap it, or cancel what runs beside it."""
        self._write = write
        self._turns = 0
        self._texts = 0
        self._calls: list[str] = []

    def begin_turn(self) -> int:
        """The number of the next turn, from 0."""
        number, self._turns = self._turns, self._turns + 1
        self._calls = []
        return number

    def note_calls(self, ids: Sequence[str]) -> None:
        """The present turn called tools, with these ids, in this order."""
        self._calls = list(ids)

    def place_call(self, id_: str) -> str:
        """The key of the call with this id, of the present turn; the first one where several share it."""
        place = self._calls.index(id_)
        self._calls[place] = ""
        return f"/turns/{self._turns - 1}/calls/{place}"

    def begin_text(self) -> None:
        """What is written from now on is of another turn."""
        if self._texts:
            self._write(BETWEEN_TURNS)
        self._texts += 1

    def write(self, text: str) -> None:
        """Show more of the present turn's text."""
        self._write(text)
