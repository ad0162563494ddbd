"""Evaluates expressions in a process of their own: it is started when it is first needed, and replaced when it ends."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

from stigmer_cli.errors import Unavailable, reason_of
from stigmer_cli.workflow.expression.child import (
    ANSWER_HEAD,
    HEAD,
    MEMORY_MAX,
    RESULT_BYTES_MAX,
    Answer,
    Question,
)
from stigmer_cli.workflow.expression.program import Program, Refused, describe_error, make_program
from stigmer_cli.workflow.json_value import Json

CPU_S_MAX = 2.0
"""How much processor time one evaluation may take."""

WALL_S_MAX = 60.0
"""How long an evaluation may take on a machine that is too busy to give it its processor time."""

ENDING_S_MAX = 5.0
"""How long the process may take to end once it has closed its output."""

CHILD = "stigmer_cli.workflow.expression.child"
SENTENCE_MAX = 500
KEPT = 1_000


class ExpressionFailed(Exception):
    """The expression has no value; the message is a sentence with the expression in it."""


class ExpressionLimit(Exception):
    """The evaluation takes more time or memory than one may take; the message is a sentence with the expression in it.

    On another machine it might not.
    """


OWN_ENDS = frozenset({-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS})
"""How the process ends that runs out of memory or of stack. What else ends it comes from outside."""


class Evaluator:
    """Evaluates one expression at a time. Close it when it is needed no more; it then starts again if it is used."""

    def __init__(self, *, cpu_s_max: float = CPU_S_MAX) -> None:
        self._cpu_s_max = cpu_s_max
        self._child: Process | None = None
        self._turn = asyncio.Lock()

    async def evaluate(self, code: str, on: Json, variables: Mapping[str, Json]) -> Json:
        """The value of `code` on the data `on`: null if it has none, and a list if it has several.

        Raises ExpressionFailed: it is no jq, or it failed. Raises ExpressionLimit for one that takes too much, and
        Unavailable where the machine is too busy to evaluate it, or something ends the process that does.
        """
        try:
            program = _make_program(code, tuple(variables))
            given = _dump({"d": on, "v": {name: variables[name] for name in program.variables}})
        except (Refused, RecursionError) as error:
            raise ExpressionFailed(_describe(code, str(error))) from error
        what = f"the expression {_shorten(code)}"
        answer, said = await self._ask(Question.EXPRESSION, what, program.text.encode("utf-8", "surrogatepass"), given)
        match answer:
            case Answer.DONE:
                return _read_values(code, said)
            case Answer.FAILED:
                raise ExpressionFailed(_describe(code, describe_error(said.decode("utf-8", "replace"), variables)))
            case Answer.TOO_LARGE:
                raise ExpressionFailed(_describe(code, f"its value is longer than {RESULT_BYTES_MAX:,} bytes as JSON"))
            case Answer.NO_MEMORY:
                raise ExpressionLimit(_describe_memory(what))

    async def find_misfit(self, value: Json, schema: Mapping[str, Json]) -> str:
        """Where `value` does not fit the JSON Schema and why, as the end of a sentence; empty if it fits.

        Raises ExpressionLimit and Unavailable as `evaluate` does.
        """
        what = "the check against the schema"
        try:
            answer, said = await self._ask(Question.SCHEMA, what, _dump(schema), _dump(value))
        except RecursionError:
            answer, said = Answer.FAILED, b"the value is nested too deep"
        match answer:
            case Answer.DONE:
                return str(json.loads(said))
            case Answer.FAILED:
                return said.decode("utf-8", "replace")
            case _:
                raise ExpressionLimit(_describe_memory(what))

    async def close(self) -> None:
        """End the process, if there is one."""
        async with self._turn:
            await self._stop()

    async def _ask(self, question: Question, what: str, program: bytes, given: bytes) -> tuple[Answer, bytes]:
        request = HEAD.pack(question, len(program), len(given)) + program + given
        async with self._turn:
            answer = await self._try(what, request)
            # What ended the process may have come from outside: the next one has its own chance.
            return answer if isinstance(answer, tuple) else await self._try_again(what, request)

    async def _try_again(self, what: str, request: bytes) -> tuple[Answer, bytes]:
        answer = await self._try(what, request)
        if isinstance(answer, tuple):
            return answer
        if answer in OWN_ENDS:
            raise ExpressionLimit(_describe_memory(what))
        raise Unavailable(f"{what} cannot be evaluated: the process that does ended with {answer}, twice")

    async def _try(self, what: str, request: bytes) -> tuple[Answer, bytes] | int:
        """The answer, or how the process ended without one."""
        child = await self._ensure_child()
        try:
            async with asyncio.timeout(WALL_S_MAX):
                return await _exchange(child, request)
        except TimeoutError as error:
            await self._stop()  # as below
            raise Unavailable(f"{what} took longer than {WALL_S_MAX:.0f} s: the machine is too busy") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = await self._wait_for_end(child)
            if code == -signal.SIGPROF:
                reason = f"{what} took more than {self._cpu_s_max:g} s of processor time"
                raise ExpressionLimit(reason) from error
            return code
        except BaseException:  # what the child writes from now on would be taken for the answer to the next request
            await self._stop()
            raise

    async def _wait_for_end(self, child: Process) -> int:
        """How the process ended, which has closed its output. To send it a signal now would lose that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDING_S_MAX):
                await child.wait()
        await self._stop()
        return await child.wait()

    async def _ensure_child(self) -> Process:
        if self._child is None or self._child.returncode is not None:
            # With an empty environment there is nothing for an expression to read, and the time zone is UTC.
            command = (sys.executable, "-I", "-m", CHILD, str(self._cpu_s_max))
            try:
                self._child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env={"TZ": "UTC"})
            except OSError as error:  # no memory, no process, no file is left: that passes
                reason = f"the process that evaluates expressions cannot be started: {reason_of(error)}"
                raise Unavailable(reason) from error
        return self._child

    async def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


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


def _read_values(code: str, said: bytes) -> Json:
    try:
        values: Sequence[Json] = [json.loads(line, parse_float=_read_number) for line in said.split(b"\n") if line]
    except RecursionError as error:
        raise ExpressionFailed(_describe(code, "its value is nested too deep")) from error
    return values[0] if len(values) == 1 else values or None


def _read_number(text: str) -> float:
    """The number; the largest one for one that is larger, as libjq computes with it."""
    return max(-sys.float_info.max, min(float(text), sys.float_info.max))


def _describe(code: str, reason: str) -> str:
    return f"the expression {_shorten(code)} has no value: {reason}"


def _describe_memory(what: str) -> str:
    return f"{what} took more than {MEMORY_MAX // 1024 // 1024:,} MiB of memory"


def _shorten(code: str) -> str:
    return code if len(code) <= SENTENCE_MAX else f"{code[:SENTENCE_MAX]}…"


@lru_cache(maxsize=KEPT)
def _make_program(code: str, known: tuple[str, ...]) -> Program:
    return make_program(code, known)
