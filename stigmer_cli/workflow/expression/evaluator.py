"""Evaluates expressions in a process of their own: it is started when it is first needed, and replaced when it ends."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

from stigmer_cli.workflow.expression.child import (
    ANSWER_HEAD,
    HEAD,
    MEMORY_MAX,
    RESULT_BYTES_MAX,
    Answer,
)
from stigmer_cli.workflow.expression.program import Program, Refused, describe_error, make_program
from stigmer_cli.workflow.json_value import Json

CPU_S_MAX = 2.0
"""How much processor time one evaluation may take."""

WALL_S_MAX = 60.0
"""How long an evaluation may take on a machine that is too busy to give it its processor time."""

CHILD = "stigmer_cli.workflow.expression.child"
SENTENCE_MAX = 500
KEPT = 1_000


class ExpressionFailed(Exception):
    """The expression has no value; the message is a sentence with the expression in it."""


class Evaluator:
    """Evaluates one expression at a time. Close it when it is needed no more; it then starts again if it is used."""

    def __init__(self, *, cpu_s_max: float = CPU_S_MAX) -> None:
        self._cpu_s_max = cpu_s_max
        self._child: Process | None = None
        self._turn = asyncio.Lock()

    async def evaluate(self, code: str, on: Json, variables: Mapping[str, Json]) -> Json:
        """The value of `code` on the data `on`: null if it has none, and a list if it has several.

        Raises ExpressionFailed: it is no jq, it failed, or it exceeds a limit.
        """
        try:
            program = _make_program(code, tuple(variables))
        except Refused as error:
            raise ExpressionFailed(_describe(code, str(error))) from error
        given = {"d": on, "v": {name: variables[name] for name in program.variables}}
        answer, said = await self._ask(code, program, _dump(given))
        match answer:
            case Answer.DONE:
                values: Sequence[Json] = [json.loads(line) for line in said.split(b"\n") if line]
                return values[0] if len(values) == 1 else values or None
            case Answer.FAILED:
                raise ExpressionFailed(_describe(code, describe_error(said.decode("utf-8", "replace"), variables)))
            case Answer.TOO_LARGE:
                raise ExpressionFailed(_describe(code, f"its value is longer than {RESULT_BYTES_MAX:,} bytes as JSON"))

    async def close(self) -> None:
        """End the process, if there is one."""
        async with self._turn:
            await self._stop()

    async def _ask(self, code: str, program: Program, given: bytes) -> tuple[Answer, bytes]:
        text = program.text.encode("utf-8", "surrogatepass")
        async with self._turn:
            child = await self._ensure_child()
            try:
                async with asyncio.timeout(WALL_S_MAX):
                    return await _exchange(child, HEAD.pack(len(text), len(given)) + text + given)
            except TimeoutError as error:
                await self._stop()  # as below
                raise ExpressionFailed(_describe(code, f"it took longer than {WALL_S_MAX:.0f} s")) from error
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                reason = self._describe_end(await child.wait())
                raise ExpressionFailed(_describe(code, reason)) from error
            except BaseException:  # what the child writes from now on would be taken for the answer to the next request
                await self._stop()
                raise
            finally:
                if self._child is not None and self._child.returncode is not None:
                    self._child = None

    async def _ensure_child(self) -> Process:
        if self._child is None or self._child.returncode is not None:
            # With an empty environment there is nothing for an expression to read, and the time zone is UTC.
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", CHILD, str(self._cpu_s_max), stdin=PIPE, stdout=PIPE, env={"TZ": "UTC"}
            )
        return self._child

    async def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()

    def _describe_end(self, code: int) -> str:
        if code == -signal.SIGPROF:
            return f"it took more than {self._cpu_s_max:g} s of processor time"
        return (
            f"its process ended with {code}; it may have taken more than {MEMORY_MAX // 1024 // 1024:,} MiB of memory"
        )


async def _exchange(child: Process, request: bytes) -> tuple[Answer, bytes]:
    assert child.stdin is not None  # noqa: S101 - both are pipes
    assert child.stdout is not None  # noqa: S101
    child.stdin.write(request)
    await child.stdin.drain()
    answer, length = ANSWER_HEAD.unpack(await child.stdout.readexactly(ANSWER_HEAD.size))
    return Answer(answer), await child.stdout.readexactly(length)


def _dump(given: Json) -> bytes:
    """As libjq reads it, which refuses half a surrogate pair: UTF-8 cannot say it."""
    return json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _describe(code: str, reason: str) -> str:
    shown = code if len(code) <= SENTENCE_MAX else f"{code[:SENTENCE_MAX]}…"
    return f"the expression {shown} has no value: {reason}"


@lru_cache(maxsize=KEPT)
def _make_program(code: str, known: tuple[str, ...]) -> Program:
    return make_program(code, known)
