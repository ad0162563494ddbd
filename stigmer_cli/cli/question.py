"""The question before a command changes or deletes much."""

import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from stigmer_cli.cli.automation import find_ci_variable
from stigmer_cli.cli.context import Cli
from stigmer_cli.errors import ConfigError

ANSWERS = {"y": True, "yes": True, "n": False, "no": False, "": False}


def require_person(cli: Cli, doing: str, *, hint: str) -> None:
    """Raise ConfigError with `hint` where nobody can be asked before `doing` what a command does."""
    if why := cli.why_not_ask:
        raise ConfigError(f"cannot ask before {doing}: {why}", hint=hint)


def require_input(cli: Cli, what: str, *, hint: str) -> None:
    """Raise ConfigError with `hint` in a CI job whose standard input is a terminal: nobody would type `what` there."""
    name = find_ci_variable(cli.environ)
    if name and sys.stdin.isatty():
        raise ConfigError(f"nobody types {what} in CI, which the variable {name} says this is", hint=hint)


def ask_hidden(question: str) -> str:
    """What a person types without an echo. Raises typer.Abort for Ctrl-C."""
    with _hiding_after_stop(f"{question}: "):
        return str(typer.prompt(question, hide_input=True, err=True))


@contextmanager
def _hiding_after_stop(prompt: str) -> Iterator[None]:
    """Hide what is typed again after Ctrl-Z and `fg`, by which the shell sets the terminal as it has it itself."""

    def hide(_number: int, _frame: object) -> None:
        modes = termios.tcgetattr(sys.stdin)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, modes)
        sys.stderr.write(prompt)
        sys.stderr.flush()

    before = signal.signal(signal.SIGCONT, hide)
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, before)


def ask_to_agree(cli: Cli, question: str, *, otherwise: str) -> None:
    """Return once a person has answered yes.

    Else tell `otherwise`, and raise typer.Exit (1) for a no, typer.Abort or KeyboardInterrupt for Ctrl-C. Ask outside
    the event loop, whose handler would swallow the first Ctrl-C, and after `require_person`.
    """
    try:
        agreed = _ask_yes_or_no(cli, question)
    except (typer.Abort, KeyboardInterrupt):  # the latter before the answer is read
        cli.out.stderr.print()  # the question's line is still open
        cli.out.note(otherwise)
        raise
    if not agreed:
        cli.out.note(otherwise)
        raise typer.Exit(1)


def _ask_yes_or_no(cli: Cli, question: str) -> bool:
    while True:
        typed: str = typer.prompt(f"{question} [y/N]", default="", show_default=False, err=True)
        found = ANSWERS.get(typed.strip().lower())
        if found is not None:
            return found
        cli.out.note("answer y for yes, or n for no; Enter alone is a no")
