"""Runs a part of the stack in this process, with no more imports than it needs."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.stack.temporal_first import wait_for_own_temporal
from stigmer_cli.lean_imports import lean_imports, postponed_models, skip_old_pydantic


def run_server(cli: Cli) -> int:
    """Run the server until a signal stops it; returns the exit code."""
    skip_old_pydantic()
    with lean_imports(), postponed_models():
        from stigmer_cli.cli.stack.serve import serve  # noqa: PLC0415

    return serve(cli)


def run_runner(cli: Cli) -> int:
    """Run a runner until a signal stops it; returns the exit code."""
    wait_for_own_temporal(cli)
    with lean_imports(without=["click"]):
        from stigmer_cli.cli.stack.work import work  # noqa: PLC0415

    return work(cli)
