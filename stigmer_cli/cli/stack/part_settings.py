"""The settings of a part that is run in the foreground."""

from dataclasses import replace

from stigmer_cli.cli.context import Cli
from stigmer_cli.settings import Settings
from stigmer_cli.stack.endpoints_file import endpoints
from stigmer_cli.stack.precedence import keep_recorded
from stigmer_cli.stack.settings_record import read_settings_record


def part_settings(cli: Cli) -> Settings:
    """What is said for the part, else the addresses that the stack of this home was started with."""
    settings = cli.own_settings()
    found = endpoints(settings.home)
    settings = keep_recorded(settings, read_settings_record(settings.home))
    return replace(settings, server_url=found.server_url) if found and settings.server_url is None else settings
