"""The process that evaluates expressions: `python -m stigmer_cli.workflow.expression.child CPU_S_MAX`.

libjq can neither be interrupted nor told how much memory to take, and runs in the process that calls it. So it has a
process of its own, which the system ends when an evaluation exceeds a limit; the runner then starts another. It ends
when its standard input does, and so with its runner, however that ends.

Request: the lengths of the program and of its input (two numbers of four bytes), and both as UTF-8. Answer: one byte
(`Answer`), a length, and the results as lines of JSON, or the error.
"""

import resource
import signal
import struct
import sys
from collections import OrderedDict
from contextlib import suppress
from enum import IntEnum
from typing import Any

HEAD = struct.Struct(">II")
ANSWER_HEAD = struct.Struct(">BI")

MEMORY_MAX = 1024 * 1024 * 1024
"""How much address space the process may have."""

RESULT_BYTES_MAX = 8 * 1024 * 1024
PROGRAMS_KEPT = 1_000


class Answer(IntEnum):
    """What became of an evaluation."""

    DONE = 0
    FAILED = 1
    TOO_LARGE = 2


def main() -> None:
    """Answer requests until standard input ends."""
    import jq  # noqa: PLC0415 - only this process needs it, and the limits hold from here on

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal of a runner is the runner's to handle
    with suppress(ValueError, OSError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(_Programs(jq), float(sys.argv[1]))


class _Programs:
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
        return str(compiled.input_text(given.decode()).text()).encode()


def _serve(programs: _Programs, cpu_s_max: float) -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(HEAD.size):
        program_length, given_length = HEAD.unpack(head)
        program, given = requests.read(program_length), requests.read(given_length)
        signal.setitimer(signal.ITIMER_PROF, cpu_s_max)  # SIGPROF ends the process
        try:
            answer, said = Answer.DONE, programs.evaluate(program, given)
        except (ValueError, MemoryError) as error:
            answer, said = Answer.FAILED, str(error).encode("utf-8", "replace")
        signal.setitimer(signal.ITIMER_PROF, 0)
        if len(said) > RESULT_BYTES_MAX:
            answer, said = Answer.TOO_LARGE, b""
        answers.write(ANSWER_HEAD.pack(answer, len(said)) + said)
        answers.flush()


if __name__ == "__main__":
    main()
