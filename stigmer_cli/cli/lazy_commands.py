"""The commands of an application, each imported when it is first needed: a command line needs one of them."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from stigmer_cli.cli.sections import print_plain_usage

if TYPE_CHECKING:
    from typer._click import Command

Declared = tuple[str, str]
"""A command's section in the help, and where it is declared: `module:name`, the module below `stigmer_cli.cli`."""


class LazyCommands(MutableMapping[str, "Command"]):
    """A mapping from names to commands; who looks at a command has it imported."""

    def __init__(self, declared: Mapping[str, Declared]) -> None:
        self._declared = dict(declared)
        self._built: dict[str, Command] = {}

    def __getitem__(self, name: str) -> "Command":
        """The command of this name; raises KeyError if there is none."""
        if name not in self._built:
            self._built[name] = _build(name, *self._declared[name])
        return self._built[name]

    def __setitem__(self, name: str, command: "Command") -> None:
        """Add a command that exists already."""
        self._declared.setdefault(name, ("", ""))
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        """Remove a command; raises KeyError if there is none."""
        del self._declared[name]
        self._built.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        """The names, in the order in which the help lists them."""
        return iter(self._declared)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._declared)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a command; imports nothing."""
        return name in self._declared


def _build(name: str, section: str, place: str) -> "Command":
    module, _, attribute = place.partition(":")
    declared = getattr(import_module(f"stigmer_cli.cli.{module}"), attribute)
    group = declared
    if not isinstance(declared, typer.Typer):
        group = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        group.command(name)(declared)
    print_plain_usage(group)
    built = get_command(group)
    built.name = name
    if isinstance(built, TyperCommand | TyperGroup):
        built.rich_help_panel = section
    return built
