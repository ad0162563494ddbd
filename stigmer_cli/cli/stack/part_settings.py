"""The settings of a part that runs in the foreground."""

from dataclasses import replace

from stigmer_cli.cli.context import Cli
from stigmer_cli.settings import Settings
from stigmer_cli.stack.endpoints_file import read_endpoints
from stigmer_cli.stack.precedence import keep_recorded
from stigmer_cli.stack.settings_record import read_settings_record


def load_part_settings(cli: Cli) -> Settings:
    """This shell's settings; addresses that no layer sets are those that this home's stack was started with."""
    settings = cli.load_own_settings()
    found = read_endpoints(settings.home)
    settings = keep_recorded(settings, read_settings_record(settings.home))
    return replace(settings, server_url=found.server_url) if found and settings.server_url is None else settings
