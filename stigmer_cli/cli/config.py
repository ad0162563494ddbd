"""`stigmer config`: where settings are, what they are, and which layer said so."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format, safe
from stigmer_cli.errors import ConfigError, MachineError
from stigmer_cli.home_trust import require_trust
from stigmer_cli.settings import BY_NAME, OPTIONS, Option, Settings, Source, defaults, parsed
from stigmer_cli.stack.precedence import DATABASE, kept
from stigmer_cli.stack.settings_record import RUNNER, read_settings_record, readers
from stigmer_cli.stack.state import endpoints

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

OUTPUT = typer.Option("--output", "-o", help="How the result is printed.")
NAMED = typer.Argument(metavar="NAME", help="A setting, as `config list` names it.")
REDACTED = "(set)"

config = typer.Typer(help="Show and change settings.")


@config.command("path")
def path(ctx: typer.Context) -> None:
    """Print where config.toml is, or would be."""
    cli = cli_of(ctx)
    cli.out.raw(f"{cli.settings_at_any_rate().home.config_file}\n")


@config.command("list")
def list_settings(ctx: typer.Context, output: Annotated[Format, OUTPUT] = Format.TABLE) -> None:
    """Print every setting, its value, and the layer it came from; secrets are not shown."""
    cli = cli_of(ctx)
    out = cli.show(output)
    settings = _settings(cli)
    items = [
        {
            "name": option.name,
            "value": _shown(option, settings),
            "source": settings.sources[option.name],
            "variable": option.variable,
            "about": option.about,
        }
        for option in OPTIONS
    ]
    out.result({"home": str(settings.home.path), "items": items}, lambda console: _print(console, items))


@config.command("get")
def get(ctx: typer.Context, name: Annotated[str, NAMED]) -> None:
    """Print one setting."""
    cli = cli_of(ctx)
    settings = _settings(cli)
    for option in OPTIONS:
        if option.name == name:
            cli.out.raw(f"{_shown(option, settings) or ''}\n")
            return
    parsed(name, "")  # raises, with the nearest name


@config.command("set")
def set_value(
    ctx: typer.Context, name: Annotated[str, NAMED], value: Annotated[str, typer.Argument(help="Its new value.")]
) -> None:
    """Write one setting into config.toml; a running stack takes it over at `stigmer restart`."""
    cli = cli_of(ctx)
    checked = parsed(name, value)
    require_trust(cli.home.path)
    document = _document(cli.home.config_file)
    document[name] = checked if isinstance(checked, int) else str(checked)
    _write(cli.home.config_file, document)
    _note_overridden(cli, name)
    _note_when_it_counts(cli, name)


@config.command("unset")
def unset_value(ctx: typer.Context, name: Annotated[str, NAMED]) -> None:
    """Take one setting out of config.toml."""
    cli = cli_of(ctx)
    require_trust(cli.home.path)
    document = _document(cli.home.config_file)
    if name not in document:
        if name not in BY_NAME:
            parsed(name, "")  # raises, with the nearest name
        cli.out.note(f"{cli.home.config_file} does not set {name}; nothing was changed")
        return
    del document[name]
    _write(cli.home.config_file, document)
    if name in BY_NAME:
        _note_overridden(cli, name)
        _note_when_it_counts(cli, name)


@config.command("rotate-token")
def rotate(ctx: typer.Context) -> None:
    """Replace the bearer token; server and runner take it over by themselves."""
    from stigmer_cli.credential import rotate_token  # noqa: PLC0415 - secrets is not imported for --help

    cli = cli_of(ctx)
    settings = cli.own_settings()
    if settings.sources["token"] in (Source.ENVIRONMENT, Source.FILE):
        raise ConfigError("the token is set by STIGMER_TOKEN or config.toml; change it there")
    rotate_token(settings.home)
    cli.out.note(f"a new token is in {settings.home.token_file}")


def _document(file: Path) -> "TOMLDocument":
    import tomlkit  # noqa: PLC0415 - only commands that write TOML need it
    from tomlkit.exceptions import ParseError  # noqa: PLC0415

    try:
        return tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
    except (OSError, UnicodeDecodeError, ParseError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error


def _write(file: Path, document: "TOMLDocument") -> None:
    import tomlkit  # noqa: PLC0415

    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_suffix(".toml.new")
        draft.write_text(tomlkit.dumps(document), encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(file)
    except OSError as error:
        raise MachineError(f"cannot write {file}: {error}") from error


def _settings(cli: Cli) -> Settings:
    """What `stigmer up` would start with: where nothing is said, the addresses that the stack was started with."""
    settings = cli.own_settings(is_look=True)
    if settings.distrust:
        return settings
    settings, found = kept(settings, read_settings_record(settings.home)), endpoints(settings.home)
    if found is None or settings.server_url is not None:
        return settings
    return replace(settings, server_url=found.server_url, sources={**settings.sources, "server_url": Source.RECORD})


def _note_when_it_counts(cli: Cli, name: str) -> None:
    """A part that runs keeps what it was started with, and commands find it where it is."""
    if name == DATABASE and read_settings_record(cli.home):
        cli.out.note("it counts from the next `stigmer up --new-database` on; executions are not moved")
    elif name != "server_url" and endpoints(cli.home) is not None:
        part = "runner" if readers(name) == (RUNNER,) else ""
        cli.out.note(
            f"it counts from the next `{f'stigmer restart {part}'.strip()}` on; until then the stack runs as it is"
        )


def _note_overridden(cli: Cli, name: str) -> None:
    settings = cli.own_settings()
    if settings.sources[name] is Source.ENVIRONMENT:
        cli.out.warning(f"{name} is overridden by the environment")


def _shown(option: Option, settings: Settings) -> str | None:
    value = getattr(settings, option.name)
    if value is None:
        value = defaults()[option.name]
    if value is None:
        return None
    return REDACTED if option.is_secret else str(value)


def _print(console: Console, items: list[dict[str, str | None]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("NAME", "VALUE", "FROM", "ABOUT"):
        table.add_column(name, no_wrap=name != "ABOUT", overflow="ellipsis")
    for item in items:
        table.add_row(
            safe(item["name"] or ""), safe(item["value"] or "-"), safe(item["source"] or ""), safe(item["about"] or "")
        )
    console.print(table)
