"""The model that plays a script: offline, always the same, for demonstrations and tests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stigmer_cli.api.reports import Work
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.errors import ConfigError
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.runner.model.words import split_words
from stigmer_cli.running_version import InstallationChanged

if TYPE_CHECKING:
    from stigmer_cli.runner.model.script_file import ScriptTurn

PIECE_WORDS = 8


def count_turns(work: Work) -> int:
    """How many turns were played in the executions of the conversation before this one."""
    return sum(exchange.turns for exchange in work.conversation)


class ScriptedModel:
    """Answers with the turns in the file `path`; a change of it counts from the next turn on."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._turns: Sequence[ScriptTurn] = ()

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

    async def play(self, number: int) -> "ScriptTurn":
        """Turn `number`, from 0, after its delay. Raises ModelFailed where it fails, or is not there.

        And InstallationChanged where what reads it, which is loaded for the first turn, cannot be imported.
        """
        try:
            turns = await asyncio.to_thread(self._read_changed)
        except ConfigError as error:
            raise ModelFailed(error.message) from error
        except ImportError as error:
            raise InstallationChanged(error) from error
        if number >= len(turns):
            count = "1 turn" if len(turns) == 1 else f"{len(turns)} turns"
            raise ModelFailed(f"the script {self._path} has {count}, and the conversation asks for turn {number + 1}")
        turn = turns[number]
        await self._clock.sleep(turn.delay)
        if turn.fail is not None:
            raise ModelFailed(turn.fail)
        return turn

    def _read_changed(self) -> "Sequence[ScriptTurn]":
        """The turns in the file, which is parsed again only where it has changed.

        Raises ConfigError.
        """
        from stigmer_cli.runner.model.script_file import read_script  # noqa: PLC0415 - yaml, for few runners only

        stamp = _stamp_of(self._path)  # before the file is read: a change in between is seen at the next turn
        if stamp is None or stamp != self._stamp:
            self._turns, self._stamp = read_script(self._path).root, stamp
        return self._turns


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    """What changes with the file; None where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
