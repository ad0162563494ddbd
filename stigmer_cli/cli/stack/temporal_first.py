"""Lets the Temporal of a stack start before the runner imports its libraries.

All parts of a stack start at once, and the server takes longest to import what it needs. On two cores a runner that
imports at the same time takes a third of them from Temporal and from the server. Later it has the core that Temporal
has left, and is done before the server is.
"""

import time
from contextlib import suppress

from stigmer_cli.cli.context import Cli
from stigmer_cli.errors import StigmerError

WAIT_MAX_S = 1.0
"""A runner whose Temporal is away then starts all the same, and waits for it with all that it does while it waits."""

LOOK_EVERY_S = 0.01


def wait_for_own_temporal(cli: Cli) -> None:
    """Return once the Temporal of this machine's stack accepts connections, and at the latest after `WAIT_MAX_S`.

    Returns at once where Temporal is somebody else's, and where the settings cannot be used, which the runner reports.
    """
    from stigmer_cli.stack.port_holders import accepts_connections  # noqa: PLC0415 - for runners only

    with suppress(StigmerError):
        settings = cli.load_own_settings()
        until = cli.clock.monotonic() + WAIT_MAX_S
        while settings.runs_own_temporal and cli.clock.monotonic() < until:
            if accepts_connections(settings.temporal_port):
                return
            time.sleep(LOOK_EVERY_S)
