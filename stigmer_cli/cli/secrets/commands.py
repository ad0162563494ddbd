"""Declares the commands about secrets; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat, Yes
from stigmer_cli.cli.sections import make_group

SecretName = Annotated[str, typer.Argument(metavar="SECRET", help="The secret's name: OPENAI_API_KEY, for example.")]

secrets = make_group("Keep keys and passwords for agents, encrypted.")


@secrets.command("set", context_settings={"allow_extra_args": True})  # refused without repeating them
def set_(
    ctx: typer.Context,
    name: SecretName,
    *,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Keep a value under a name. It is asked for, or read from standard input; it is never an argument."""
    from stigmer_cli.cli.secrets.set import set_secret

    set_secret(cli_of(ctx, output), name, is_argument_given=bool(ctx.args))


@secrets.command("list")
def list_(ctx: typer.Context, *, output: OutputFormat = Format.TABLE) -> None:
    """List the secrets, and what refers to each. No command shows a value."""
    from stigmer_cli.cli.secrets.list import list_secrets

    list_secrets(cli_of(ctx, output, is_look=True))


@secrets.command("delete")
def delete(ctx: typer.Context, name: SecretName, *, yes: Yes = False, output: OutputFormat = Format.TABLE) -> None:
    """Delete a secret. The question before names what refers to it."""
    from stigmer_cli.cli.secrets.delete import delete_secret

    delete_secret(cli_of(ctx, output), name, is_agreed=yes)


@secrets.command("rotate-key")
def rotate_key(ctx: typer.Context, *, output: OutputFormat = Format.TABLE) -> None:
    """Encrypt all secrets with a new key, in place of the old one. No value changes."""
    from stigmer_cli.cli.secrets.rotate_key import rotate_secrets_key

    rotate_secrets_key(cli_of(ctx, output))
