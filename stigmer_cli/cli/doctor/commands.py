"""Declares the commands of doctor; each imports its body when it runs, so that `--help` loads none of them."""

from pathlib import Path
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.doctor.options import DoctorOptions
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat
from stigmer_cli.cli.sections import make_group
from stigmer_cli.cli.wait import WAIT_OPTION as WAIT
from stigmer_cli.cli.wait import parse_wait
from stigmer_cli.errors import ConfigError

Bundle = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also write a .tar.gz or .zip for a bug report, without secrets.")
]

Wait = Annotated[
    str | None, typer.Option(WAIT, metavar="[=SPAN]", help="Repeat until all is healthy, for SPAN at most.")
]

doctor = make_group("Say what is wrong and what to type.")


@doctor.callback(invoke_without_command=True)
def diagnose(
    ctx: typer.Context,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Carry out the repairs that are safe, then check again.")] = False,
    wait: Wait = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Only this check or category. May be repeated.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="All but this check or category. May be repeated.")
    ] = None,
    bundle: Bundle = None,
    list_checks: Annotated[bool, typer.Option("--list-checks", help="List the checks, and run none.")] = False,
    json_schema: Annotated[bool, typer.Option("--json-schema", help="Print the JSON schema of `-o json`.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 also for warnings and for what could not be judged.")
    ] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Send an echo execution through every hop, and show what each took.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print every check, with evidence.")] = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Say what is wrong, what came first, and what to type: exit code 0 healthy, 1 not."""
    if ctx.invoked_subcommand is not None:
        return
    cli = cli_of(ctx, output)
    if json_schema or list_checks:
        from stigmer_cli.cli.doctor.checks import show_checks, show_schema

        show_schema(cli) if json_schema else show_checks(cli)
        return
    if test:
        from stigmer_cli.cli.doctor.path_test import test_path

        if fix or only or skip or bundle or strict or verbose:
            raise ConfigError("--test goes with --wait and -o only", hint="stigmer doctor --test")
        raise typer.Exit(test_path(cli, waits_s=parse_wait(wait)))
    from stigmer_cli.cli.doctor.diagnose import run_doctor

    options = DoctorOptions(
        only=only or [],
        skip=skip or [],
        waits_s=parse_wait(wait),
        bundle=bundle,
        is_repaired=fix,
        is_strict=strict,
        is_verbose=verbose,
    )
    raise typer.Exit(run_doctor(cli, options))


@doctor.command("explain")
def explain(
    ctx: typer.Context,
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="The code of a check, as in `stigmer doctor --list-checks`.")
    ],
    *,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Say what a check looks at, and what a failure means. Nothing needs to run."""
    from stigmer_cli.cli.doctor.checks import explain_check

    explain_check(cli_of(ctx, output), code)
