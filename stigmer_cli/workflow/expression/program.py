"""The jq program of an expression: its variables bound, and without what looks at the machine.

Its input is an object: `d` is what the expression is evaluated on, and `v` has the values of its variables. So a
program depends on the expression alone, and is compiled once for all values.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.workflow.expression.syntax import is_closed, list_variables

CHARS_MAX = 64 * 1024
"""How long an expression may be."""

BATCH_MAX = 100
BATCH_CHARS_MAX = 64 * 1024
"""How much code is compiled at once: of a short program nearly all the time goes into jq's own definitions."""

REMOVED = ("env", "now", "input", "inputs", "input_filename", "input_line_number", "debug", "stderr", "halt",
           "halt_error", "get_search_list", "modulemeta")  # fmt: skip
REMOVED_WITH_ARGUMENT = ("debug", "halt_error")
"""Builtins that look at the machine or at the clock, write to the process's own output, or end it."""

NO_PART = "is no part of the expressions of a workflow"

RUNTIME = ("context", "input", "output", "secrets", "authorization", "task", "workflow", "runtime")
"""The variables of the specification."""

UNDEFINED = re.compile(r"\$(\w+) is not defined")
PLACE = re.compile(r" at <top-level>, line \d+(?:, column \d+)?:?$")
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


class Refused(ValueError):
    """The text is no expression that may be evaluated; the message is a sentence."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program, and the variables that its input must have values of."""

    text: str
    variables: frozenset[str]


def _define_removed() -> str:
    plain = (f'def {name}: error("{name} is no part of the expressions of a workflow");' for name in REMOVED)
    taking = (
        f'def {name}(f): error("{name} is no part of the expressions of a workflow");' for name in REMOVED_WITH_ARGUMENT
    )
    return "".join((*plain, *taking))


PRELUDE = _define_removed() + "null as $ENV | "


def make_program(code: str, known: Collection[str]) -> Program:
    """The program of `code`, in which the variables `known` have values. Raises Refused."""
    if len(code) > CHARS_MAX:
        raise Refused(f"an expression of {len(code):,} characters, and {CHARS_MAX:,} is the most")
    internal = sorted(name for name in list_variables(code) if name.startswith("__"))
    if internal:
        raise Refused(f"${internal[0]} {NO_PART}")
    # On a line of its own, so that a comment at its end ends there. The values leave libjq as JSON text: as numbers of
    # Python they would have passed through a double, which has no room for 9007199254740993.
    return _bind(code, known)


def _bind(code: str, known: Collection[str]) -> Program:
    bound = frozenset(name for name in list_variables(code) if name in known and name != "ENV")
    bindings = "".join(f".v.{name} as ${name} | " for name in sorted(bound))
    return Program(text=f"{PRELUDE}{bindings}.d | (\n{code}\n) | tojson", variables=bound)


def is_variable_name(name: str) -> bool:
    """Whether an expression can refer to a variable of that name."""
    return IDENTIFIER.fullmatch(name) is not None and not name.startswith("__")


def describe_error(said: str, known: Collection[str] = ()) -> str:
    """What libjq said, as one line: without the places in the program, which nobody sees."""
    line = PLACE.sub("", (said.strip().splitlines() or ["it failed"])[0].removeprefix("jq: error: "))
    if missing := UNDEFINED.search(line):
        near = suggest_nearest(missing[1], known)
        return f"there is no variable ${missing[1]}{near}"
    return line


def find_code_problems(codes: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each of `codes` that is no expression, once, and why, as the end of a sentence. Nothing is evaluated."""
    distinct = dict.fromkeys(codes)
    alone = [code for code in distinct if not _is_batched(code)]
    for batch in (*([code] for code in alone), *_divide([code for code in distinct if _is_batched(code)])):
        yield from _find_in_batch(batch, known)


def _is_batched(code: str) -> bool:
    """Whether `code` is correct if it is so between others."""
    return len(code) <= BATCH_CHARS_MAX // BATCH_MAX and is_closed(code)


def _divide(codes: Sequence[str]) -> Iterator[Sequence[str]]:
    return (codes[start : start + BATCH_MAX] for start in range(0, len(codes), BATCH_MAX))


def _find_in_batch(codes: Sequence[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Halves the codes until it has those that are wrong."""
    if len(codes) == 1:
        if problem := _find_code_problem(codes[0], known):
            yield codes[0], problem
    elif not _are_expressions(codes, known):
        middle = len(codes) // 2
        yield from _find_in_batch(codes[:middle], known)
        yield from _find_in_batch(codes[middle:], known)


def _are_expressions(codes: Sequence[str], known: Collection[str]) -> bool:
    import jq  # noqa: PLC0415 - a large library, for who checks expressions

    try:
        for code in codes:
            make_program(code, known)
        jq.compile(_bind(",".join(f"(\n{code}\n)" for code in codes), known).text)
    except ValueError:
        return False
    return True


def _find_code_problem(code: str, known: Collection[str]) -> str:
    """Why `code` is no expression; empty if it is one."""
    import jq  # noqa: PLC0415 - a large library, for who checks expressions

    try:
        jq.compile(make_program(code, known).text)
    except Refused as error:
        return str(error)
    except ValueError as error:
        return describe_error(str(error), known)
    return ""
