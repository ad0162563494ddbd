"""`stigmer apply`: create or update agents from files, all or none."""

import sys
from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format, safe
from stigmer_cli.cli.retry import insist

FILES = typer.Option("--file", "-f", help="A YAML file, with one or several documents; '-' is standard input.")
OUTPUT = typer.Option("--output", "-o", help="How the result is printed.")


def apply(
    ctx: typer.Context,
    file: Annotated[list[str], FILES],
    output: Annotated[Format, OUTPUT] = Format.TABLE,
) -> None:
    """Create or update agents from YAML files: all of them, or none.

    \b
    apiVersion: agentic.stigmer.ai/v1
    kind: Agent
    metadata: {name: greeter}
    spec:
      description: says hello
      instructions: Greet whoever writes to you.
      model: echo
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    from stigmer_cli.cli import manifest  # noqa: PLC0415 - pydantic is not imported for --help

    cli = cli_of(ctx)
    out = cli.show(output)
    manifests = manifest.parse(manifest.read_sources(file, iter(sys.stdin.buffer)))
    items = insist(cli, lambda client: client.apply(manifests))
    data = {"items": [item.to_wire() for item in items]}
    out.result(
        data,
        lambda console: console.print(
            "\n".join(f"agent/{safe(item.agent.metadata.slug)} {item.verb}" for item in items)
        ),
    )
