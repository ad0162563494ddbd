"""How many bytes an execution leaves in the store, beside the text of its message and its answer.

Executions go through the store as the server's routes have them do: accepted, submitted, claimed, an answer in so many
pieces, an outcome. The text is what was asked and what was answered, in bytes of UTF-8.
"""

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from stigmer_cli.domain.execution import Outcome
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import FIRST_TURN, Effect, StepKind, StepState
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.store import Store, open_store
from tests.benchmarks.report import Benchmark, Row
from tests.contracts.store.drafts import RUN, RealSleepClock, running

EXECUTIONS, QUICK_EXECUTIONS = 300, 60
BESIDE_MAX = 4_096
LETTERS = "etaoinshrdlu"
VOCABULARY = 5_000
MEMORY = Path("/dev/shm")
FLUSH_S = 0.15

CASES = {"150 words, each a piece": 150, "150 words in 30 pieces": 30, "one piece": 1}
WORDS = 150
MESSAGE = "hello"


TURN = EndedStep(
    draft=StepDraft(
        key=FIRST_TURN,
        kind=StepKind.TURN,
        name="openai:gpt-5",
        effect=Effect.NONE,
        nonce="0123456789abcdef",
        input_hash="0123456789abcdef0123456789abcdef",
    ),
    end=StepEnd(state=StepState.DONE, took_s=1.0, is_outcome=True),
)


def _vocabulary() -> Sequence[str]:
    rng = random.Random(1)
    return ["".join(rng.choices(LETTERS, k=rng.randint(2, 9))) + " " for _ in range(VOCABULARY)]


def _words(rng: random.Random) -> Sequence[str]:
    """Words in the frequencies of a language (Zipf's law): the index of a search takes room for each different one."""
    return rng.choices(_vocabulary(), [1 / rank for rank in range(1, VOCABULARY + 1)], k=WORDS)


async def _answer(store: Store, clock: RealSleepClock, id_: ExecutionId, words: Sequence[str], pieces: int) -> None:
    size, offset = WORDS // pieces, 0
    for first in range(0, WORDS, size):
        clock.set(FLUSH_S)
        piece = "".join(words[first : first + size])
        await store.runs.append_message(
            id_, epoch=1, run=RUN, attempt=1, index=0, offset=offset, role="assistant", text=piece
        )
        offset += len(piece)
    outcome = Outcome(phase=Phase.COMPLETED, output="".join(words))
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome, steps=[TURN])


async def _fill(file: Path, pieces: int, executions: int) -> int:
    """Add so many executions; the bytes of their text."""
    clock, rng, text = RealSleepClock(), random.Random(executions), 0
    async with await open_store(f"sqlite:///{file}", clock=clock) as store:
        for _ in range(executions):
            words = _words(rng)
            text += len(MESSAGE) + sum(map(len, words))
            await _answer(store, clock, await running(store), words, pieces)
    return text


def _size(file: Path) -> int:
    """The bytes of the file that are in use."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [[pages], [free], [size]] = (
            db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _measure(folder: Path, pieces: int, executions: int) -> float:
    """Bytes that one execution leaves beside its text, of so many."""
    file = folder / f"{pieces}.db"
    asyncio.run(_fill(file, pieces, 1))
    empty = _size(file)
    text = asyncio.run(_fill(file, pieces, executions))
    return (_size(file) - empty - text) / executions


def run(is_quick: bool) -> Sequence[Row]:  # noqa: FBT001 - the interface of a benchmark
    """Bytes beside the text, for answers that come in many pieces, in some, and in one."""
    executions = QUICK_EXECUTIONS if is_quick else EXECUTIONS
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        return [
            Row(
                what=f"beside the text, {name}",
                measured=_measure(Path(folder), pieces, executions),
                unit="bytes",
                budget=BESIDE_MAX,
            )
            for name, pieces in CASES.items()
        ]


BENCHMARK = Benchmark(
    name="store_size",
    about="What an execution leaves in the store beside the text of its message and of an answer of 150 words.",
    run=run,
)
