"""Completes one word: finds which argument or option it belongs to, and what may stand there."""

import re
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

from typer._click.core import Command, Parameter
from typer._click.shell_completion import _resolve_context, _resolve_incomplete
from typer.main import get_command

from stigmer_cli.cli.app import build_application
from stigmer_cli.cli.completion.request import ABOUT_MAX, FILES, Item, Request
from stigmer_cli.cli.completion.values import VALUES, Asked, Completed
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.wait import expand_bare_wait

if TYPE_CHECKING:
    from typer._click import Context

BRACKETS = re.compile(r"^\[=?|\]$|\]?\.\.\.$")
"""What the help puts around the name of a value."""


def complete(cli: Cli, request: Request) -> str:
    """What to write for the shell; nothing where it fails: no traceback belongs on a line that somebody types."""
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # `--version` prints as soon as it is parsed
            return _complete(cli, request)
    except (Exception, SystemExit):  # noqa: BLE001
        return ""


def _complete(cli: Cli, request: Request) -> str:
    command = get_command(build_application())
    words = expand_bare_wait(request.words)
    context = _resolve_context(command, {"obj": cli}, "stigmer", words)
    found, current = _resolve_incomplete(context, words, request.current)
    items: Iterable[Item] | None
    if isinstance(found, Parameter):
        items = _find_values(found, Asked(cli=cli, context=context, current=current))
    else:
        items = _find_words(found, context, current)
    if items is None:
        return FILES
    option = request.current.removesuffix(current)  # `--output=` where the option and its value are one word
    return request.format_values(replace(item, value=option + item.value) for item in items)


def _find_words(command: Command, context: "Context", current: str) -> Iterable[Item]:
    """The commands of a group, or the options of a command, each with the first sentence of its help."""
    commands = getattr(command, "commands", {})
    if commands and (context._protected_args or context.args):  # noqa: SLF001 - behind a word that is no command
        return
    for item in command.shell_complete(context, current):
        about = commands[item.value].get_short_help_str(ABOUT_MAX) if item.value in commands else item.help
        yield Item(value=item.value, about=about or "")


def _find_values(parameter: Parameter, asked: Asked) -> Iterable[Item] | None:
    """What may stand for `parameter`; None: files."""
    name = name_of_value(parameter, asked.context)
    if name not in VALUES:
        return [Item(value=one.value) for one in parameter.shell_complete(asked.context, asked.current)]
    items = VALUES[name](asked)
    if items is None:
        return None
    return [
        item
        for item in items
        if (item.value.startswith(asked.current) and not asked.is_given(item.value)) or isinstance(item, Completed)
    ]


def name_of_value(parameter: Parameter, context: "Context") -> str:
    """What the help calls the value of `parameter`: `ID`, for `[ID]...` too."""
    return BRACKETS.sub("", parameter.metavar or parameter.make_metavar(context)).rstrip("]").upper()
