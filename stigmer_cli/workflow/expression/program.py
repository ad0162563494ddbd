"""The jq program of an expression: its variables bound, and without what looks at the machine.

Its input is an object: `d` is what the expression is evaluated on, and `v` has the values of its variables. So a
program depends on the expression alone, and is compiled once for all values.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.workflow.expression.syntax import list_variables

CHARS_MAX = 64 * 1024
"""How long an expression may be."""

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
    used = list_variables(code)
    internal = sorted(name for name in used if name.startswith("__"))
    if internal:
        raise Refused(f"${internal[0]} {NO_PART}")
    bound = frozenset(name for name in used if name in known and name != "ENV")
    bindings = "".join(f".v.{name} as ${name} | " for name in sorted(bound))
    # On a line of its own, so that a comment at its end ends there. The values leave libjq as JSON text: as numbers of
    # Python they would have passed through a double, which has no room for 9007199254740993.
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


def find_code_problem(code: str, known: Collection[str]) -> str:
    """Why `code` is no expression, as the end of a sentence; empty if it is one. Nothing is evaluated."""
    import jq  # noqa: PLC0415 - a large library, for who checks expressions

    try:
        jq.compile(make_program(code, known).text)
    except Refused as error:
        return str(error)
    except ValueError as error:
        return describe_error(str(error), known)
    return ""
