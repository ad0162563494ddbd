"""`stigmer secrets set`: keeps a value that is typed without an echo, or read from standard input."""

import sys
from typing import BinaryIO

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.question import ask_hidden, require_input
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.domain.secret import VALUE_BYTES_MAX, find_name_problem, find_value_problem
from stigmer_cli.errors import ConfigError, RequestError

HELP = "stigmer secrets set --help"


def set_secret(cli: Cli, name: str, *, is_argument_given: bool) -> None:
    """Keep what a person types, or what standard input holds, under `name`; print the name.

    Raises RequestError for a name or value that cannot be one, and ConfigError where the value is an argument: other
    users see the arguments of a process, and shells write them into their history.
    """
    if is_argument_given:
        raise ConfigError(
            "a value is never an argument: other users and the history of the shell see it, so replace what you typed",
            hint=f"stigmer secrets set {name}, and type the value when you are asked, or pipe it in",
        )
    if problem := find_name_problem(name):
        raise RequestError(problem, hint=HELP)
    if not cli.can_ask:
        require_input(cli, "a value", hint=f"stigmer secrets set {name} < FILE")
    value = ask_hidden(f"Value of {name}") if cli.can_ask else read_value(sys.stdin.buffer)
    if problem := find_value_problem(value):
        raise RequestError(f"{name}: {problem}", hint=HELP)
    kept = call_with_retry(cli, lambda client: client.set_secret(name, value))
    verb = "set" if kept.created_at == kept.updated_at else "changed"
    cli.out.result(kept.to_wire(), lambda console: console.print(f"secret/{kept.name} {verb}"))


def read_value(stream: BinaryIO) -> str:
    """All of `stream` without one end of line at its end; raises RequestError for what is too long or not UTF-8."""
    data = stream.read(VALUE_BYTES_MAX + 3)
    try:
        text = data.decode("utf-8-sig")  # some editors and shells begin a text with a mark
    except UnicodeDecodeError:
        raise RequestError(
            f"standard input is not text in UTF-8 of at most {VALUE_BYTES_MAX // 1024} KiB", hint=HELP
        ) from None
    return text.removesuffix("\n").removesuffix("\r")
