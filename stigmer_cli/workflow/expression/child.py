"""The process that evaluates expressions: `python -m stigmer_cli.workflow.expression.child CPU_S_MAX`.

libjq can neither be interrupted nor told how much memory to take, and runs in the process that calls it. So it has a
process of its own, which the system ends when an evaluation exceeds a limit; the runner then starts another. It ends
when its standard input does, and so with its runner, however that ends.

JSON Schemas are evaluated here as well: a pattern in one may take for ever, too.

Request: one byte (`Question`), the lengths of the program, or of the schema, and of its input (two numbers of four
bytes), and both as UTF-8. Answer: one byte (`Answer`), a length, and the results as lines of JSON, or the error.
"""

import signal

if (
    __name__ == "__main__"
):  # before all that takes time: what a terminal or a supervisor sends to the group is for others
    for _signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_signal, signal.SIG_IGN)

import json
import resource
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Any

HEAD = struct.Struct(">BII")
ANSWER_HEAD = struct.Struct(">BI")

MEMORY_MAX = 1024 * 1024 * 1024
"""How much address space the process may have."""

RESULT_BYTES_MAX = 8 * 1024 * 1024
PROGRAMS_KEPT = 1_000


class Question(IntEnum):
    """What is to be evaluated."""

    EXPRESSION = 0
    SCHEMA = 1


class Answer(IntEnum):
    """What became of an evaluation."""

    DONE = 0
    FAILED = 1
    TOO_LARGE = 2
    NO_MEMORY = 3


def main() -> None:
    """Answer requests until standard input ends."""
    import jq  # noqa: PLC0415 - only this process needs it, and the limits hold from here on

    with suppress(ValueError, OSError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(Programs(jq), float(sys.argv[1]))


class Programs:
    """Compiled programs: those that were used last are kept."""

    def __init__(self, jq: Any) -> None:  # noqa: ANN401 - a library without types
        self._jq = jq
        self._kept: OrderedDict[bytes, Any] = OrderedDict()

    def evaluate(self, program: bytes, given: bytes) -> bytes:
        """The results, one line each; raises ValueError with what libjq said."""
        compiled = self._kept.pop(program, None) or self._jq.compile(program.decode())
        self._kept[program] = compiled
        if len(self._kept) > PROGRAMS_KEPT:
            self._kept.popitem(last=False)
        return "\n".join(compiled.input_text(given.decode())).encode()


def _evaluate_schema(schema: bytes, given: bytes) -> bytes:
    """Where the value does not fit, as a JSON text; see `json_schema.find_misfit`."""
    from stigmer_cli.json_schema import find_misfit  # noqa: PLC0415 - few workflows have a schema

    return json.dumps(find_misfit(json.loads(given), json.loads(schema))).encode()


def _serve(programs: Programs, cpu_s_max: float) -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(HEAD.size):
        question, program_length, given_length = HEAD.unpack(head)
        program, given = requests.read(program_length), requests.read(given_length)
        evaluate = programs.evaluate if question == Question.EXPRESSION else _load_schemas()
        signal.setitimer(signal.ITIMER_PROF, cpu_s_max)  # SIGPROF ends the process
        answer, said = evaluate_safely(evaluate, program, given)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if len(said) > RESULT_BYTES_MAX:
            answer, said = Answer.TOO_LARGE, b""
        answers.write(ANSWER_HEAD.pack(answer, len(said)) + said)
        answers.flush()


def _load_schemas() -> Callable[[bytes, bytes], bytes]:
    """What evaluates schemas. The library is loaded outside of the time that an evaluation has."""
    import jsonschema  # type: ignore[import-untyped]  # noqa: F401, PLC0415

    return _evaluate_schema


def evaluate_safely(evaluate: Callable[[bytes, bytes], bytes], program: bytes, given: bytes) -> tuple[Answer, bytes]:
    """What `evaluate` says, or why it says nothing."""
    try:
        return Answer.DONE, evaluate(program, given)
    except MemoryError:
        return Answer.NO_MEMORY, b""
    except Exception as error:  # noqa: BLE001 - each process that is asked again would end by it
        return Answer.FAILED, (str(error) or type(error).__name__).encode("utf-8", "replace")


if __name__ == "__main__":
    main()
