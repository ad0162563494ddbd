"""`stigmer config path`, `list` and `get`: where settings are, their values, and the layer that set each."""

from dataclasses import replace

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.secret_values import hide_url_secrets
from stigmer_cli.settings import OPTIONS, Option, Settings, Source, defaults, parse_setting
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.precedence import keep_recorded
from stigmer_cli.stack.settings_record import read_settings_record

REDACTED = "(set)"
COLUMNS = (
    Column(name="NAME", rank=0),
    Column(name="VALUE", rank=0, width_min=20, is_folded=True),
    Column(name="FROM", rank=1),
    Column(name="ABOUT", rank=2, width_min=24, is_folded=True),
)


def show_path(cli: Cli) -> None:
    """Print the path of config.toml, which may not exist yet."""
    cli.out.raw(f"{cli.load_settings_or_defaults().home.config_file}\n")


def list_settings(cli: Cli) -> None:
    """Print every setting, its value, and the layer it came from."""
    settings = _load_settings(cli)
    items = [
        {
            "name": option.name,
            "value": _format_value(option, settings),
            "source": settings.sources[option.name],
            "variable": option.variable,
            "about": option.about,
        }
        for option in OPTIONS
    ]
    cli.out.result({"home": str(settings.home.path), "items": items}, lambda console: _print(console, items))


def show_setting(cli: Cli, name: str) -> None:
    """Print the value of `name`; for an unknown name raises ConfigError with the nearest one."""
    settings = _load_settings(cli)
    for option in OPTIONS:
        if option.name == name:
            cli.out.raw(f"{_format_value(option, settings) or ''}\n")
            return
    parse_setting(name, "")  # raises, with the nearest name


def _load_settings(cli: Cli) -> Settings:
    """The settings that `stigmer up` would use: addresses that no layer sets come from the last start."""
    settings = cli.load_own_settings(is_look=True)
    if settings.distrust:
        return settings
    settings, found = keep_recorded(settings, read_settings_record(settings.home)), read_endpoints(settings.home)
    if found is None or settings.server_url is not None:
        return settings
    return replace(settings, server_url=found.server_url, sources={**settings.sources, "server_url": Source.RECORD})


def _format_value(option: Option, settings: Settings) -> str | None:
    value = getattr(settings, option.name)
    if value is None:
        value = defaults()[option.name]
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()  # as config.toml has it
    return REDACTED if option.is_secret else hide_url_secrets(str(value))


def _print(console: Console, items: list[dict[str, str | None]]) -> None:
    rows = [
        [Text(strip_control_sequences(item[name] or "-")) for name in ("name", "value", "source", "about")]
        for item in items
    ]
    print_table(console, COLUMNS, rows)
