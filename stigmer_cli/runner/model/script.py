"""The model that plays a script: offline, always the same, for demonstrations and tests."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from stigmer_cli.api.reports import Work
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.errors import ConfigError
from stigmer_cli.runner.model.script_file import ScriptTurn, read_script
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.runner.model.words import split_words

PIECE_WORDS = 8


def count_turns(work: Work) -> int:
    """How many turns were played in the executions of the conversation before this one."""
    return sum(exchange.turns for exchange in work.conversation)


class ScriptedModel:
    """Answers with the turns in the file `path`, which is read each time: a change counts from the next turn on."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    async def stream(self, work: Work) -> AsyncGenerator[str | TokenUsage, None]:
        """The text of the next turn, a few words at a time. Raises ModelFailed."""
        number = count_turns(work)
        turn = await self.play(number)
        if turn.calls:
            raise ModelFailed(
                f"turn {number + 1} of {self._path} calls the tool {turn.calls[0].tool}, and the agent has no tools"
            )
        for piece in split_words(turn.text or "", PIECE_WORDS):
            yield piece
        if turn.usage is not None:
            yield TokenUsage(
                model=work.model,
                input_tokens=turn.usage.input_tokens,
                output_tokens=turn.usage.output_tokens,
                cost=turn.usage.cost,
            )

    async def play(self, number: int) -> ScriptTurn:
        """Turn `number`, from 0, after its delay. Raises ModelFailed where it fails, or is not there."""
        try:
            turns = (await asyncio.to_thread(read_script, self._path)).root
        except ConfigError as error:
            raise ModelFailed(error.message) from error
        if number >= len(turns):
            count = "1 turn" if len(turns) == 1 else f"{len(turns)} turns"
            raise ModelFailed(f"the script {self._path} has {count}, and the conversation asks for turn {number + 1}")
        turn = turns[number]
        await self._clock.sleep(turn.delay)
        if turn.fail is not None:
            raise ModelFailed(turn.fail)
        return turn
