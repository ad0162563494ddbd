"""Declares the commands about settings; each imports its body when it runs, so that `--help` loads none of them."""

from typing import Annotated

import typer

from stigmer_cli.cli.context import cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.parameters import OutputFormat
from stigmer_cli.cli.sections import make_group

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a setting, as in `stigmer config list`.")]

config = make_group("Show and change settings.")


@config.command("path")
def path(ctx: typer.Context) -> None:
    """Print the path of config.toml. The file may not exist yet."""
    from stigmer_cli.cli.config.read import show_path

    show_path(cli_of(ctx))


@config.command("list")
def list_(ctx: typer.Context, *, output: OutputFormat = Format.TABLE) -> None:
    """Print every setting, its value, and where it comes from. Secrets are not shown."""
    from stigmer_cli.cli.config.read import list_settings

    list_settings(cli_of(ctx, output))


@config.command("get")
def get(ctx: typer.Context, name: Name) -> None:
    """Print one setting."""
    from stigmer_cli.cli.config.read import show_setting

    show_setting(cli_of(ctx), name)


@config.command("set")
def set_(
    ctx: typer.Context, name: Name, value: Annotated[str, typer.Argument(metavar="VALUE", help="Its new value.")]
) -> None:
    """Write a setting to config.toml. A running stack takes it over at `stigmer restart`."""
    from stigmer_cli.cli.config.write import set_setting

    set_setting(cli_of(ctx), name, value)


@config.command("unset")
def unset(ctx: typer.Context, name: Name) -> None:
    """Remove a setting from config.toml."""
    from stigmer_cli.cli.config.write import unset_setting

    unset_setting(cli_of(ctx), name)


@config.command("rotate-token")
def rotate_token(ctx: typer.Context) -> None:
    """Replace the bearer token. Server and runner take it over by themselves."""
    from stigmer_cli.cli.config.rotate_token import replace_token

    replace_token(cli_of(ctx))
