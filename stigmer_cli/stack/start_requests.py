"""What `up` asks of a home's next server: to move its store to this Temporal, or to accept that its store is gone."""

from collections.abc import Sequence

from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Home
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import SERVER
from stigmer_cli.store_record import forget_store


def request_at_start(home: Home, options: StackOptions) -> None:
    """Leave what `options` ask of the server that is about to be started; raises OSError."""
    if options.adopts_temporal:
        request_adoption(home)
    if options.new_store:
        forget_store(home)


def request_adoption(home: Home) -> None:
    """Have the next server of `home` move its store to its own Temporal; raises OSError."""
    home.adoption_file.touch(mode=0o600)


def forget_store_of_stopped_server(home: Home, stopped: Sequence[str]) -> None:
    """Have the next server of `home` accept any store, in a stack that runs except for the parts in `stopped`.

    Raises ConfigError where its server runs, and OSError.
    """
    if SERVER not in stopped:
        raise ConfigError(
            "--new-store was asked for, but the server runs with the store that it has",
            hint="stigmer down, then stigmer up --new-store",
        )
    forget_store(home)
