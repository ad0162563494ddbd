"""`stigmer config rotate-token`: replaces the bearer token."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.credential import rotate_token
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Source


def replace_token(cli: Cli) -> None:
    """Write a new token; raises ConfigError if STIGMER_TOKEN or config.toml sets it."""
    settings = cli.load_own_settings()
    if settings.sources["token"] in (Source.ENVIRONMENT, Source.FILE):
        raise ConfigError("the token is set by STIGMER_TOKEN or config.toml; change it there")
    rotate_token(settings.home)
    cli.out.note(f"a new token is in {settings.home.token_file}")
