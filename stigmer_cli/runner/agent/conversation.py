"""Where the loop stands: which turn it is in, which place a call has in that turn, and what has ended it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stigmer_cli.api.decisions import DecisionBody
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

    async def is_recorded(self, key: str) -> bool:
        """Whether an earlier attempt recorded the step with this key."""

    async def find(self, key: str) -> Json:
        """The recorded result of a step that did not fail; None where it is not recorded."""

    async def read_decisions(self) -> Mapping[str, DecisionBody]:
        """What persons decided about calls, by the key of the step."""

    async def list_recorded_tools(self) -> Collection[str]:
        """The names of the tools of which calls are recorded."""


@dataclass(frozen=True, kw_only=True)
class AskedFor:
    """A call of the present turn: its place in the journal, the tool by what models call it, and its arguments."""

    key: str
    name: str
    arguments: Mapping[str, Json]


def key_of_turn(turn: int) -> str:
    """The key of the step that is this turn, from 0."""
    return f"/turns/{turn}"


def key_of_call(turn: int, place: int) -> str:
    """The key of the call at `place` among those of turn `turn`, both from 0."""
    return f"{key_of_turn(turn)}/calls/{place}"


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
        self.edited: dict[str, str] = {}
        """The arguments, as JSON, that a person has given calls in place of the model's, by the key of the step."""
        self.result_chars_max: int | None = None
        """How long a result of a call may be for the model; None: nothing is known to be too long."""
        self.end: Exception | None = None
        """What has ended the loop from within; pydantic-ai may wrap it, or cancel what runs beside it."""
        self._write = write
        self._turns = 0
        self._texts = 0
        self._calls: list[str] = []
        self.asked_for: Sequence[AskedFor] = ()
        """The calls of the present turn whose arguments are JSON, in the order of the model."""

    @property
    def next_turn(self) -> int:
        """The number of the turn that begins next, from 0."""
        return self._turns

    def begin_turn(self) -> int:
        """The number of the next turn, from 0."""
        number, self._turns = self._turns, self._turns + 1
        self._calls = []
        return number

    async def is_turn_recorded(self) -> bool:
        """Whether an earlier attempt recorded the present turn: only then a person may have decided about its calls."""
        return await self.journal.is_recorded(key_of_turn(self._turns - 1))

    def note_calls(self, calls: Sequence[tuple[str, str, Mapping[str, Json] | None]]) -> None:
        """The present turn called tools: with these ids, names and arguments (None: no JSON), in this order."""
        self._calls = [id_ for id_, _name, _arguments in calls]
        self.asked_for = [
            AskedFor(key=self._key_of(place), name=name, arguments=arguments)
            for place, (_id, name, arguments) in enumerate(calls)
            if arguments is not None
        ]

    def place_call(self, id_: str) -> str:
        """The key of the call with this id, of the present turn; the first one where several share it."""
        place = self._calls.index(id_)
        self._calls[place] = ""
        return self._key_of(place)

    def _key_of(self, place: int) -> str:
        return key_of_call(self._turns - 1, place)

    def begin_text(self) -> None:
        """What is written from now on is of another turn."""
        if self._texts:
            self._write(BETWEEN_TURNS)
        self._texts += 1

    def write(self, text: str) -> None:
        """Show more of the present turn's text."""
        self._write(text)
