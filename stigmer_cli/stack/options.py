"""What `up` and `restart` are asked for beside the settings; cheap to import, because every command line imports it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stigmer_cli.temporal.dev_server import HttpEndpoints


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What `up` was asked for beside the settings.

    `wants_ui` asks for Temporal's web UI where web pages could reach it. `http_endpoints` is where Temporal listens
    for HTTP; None: where the record of the running stack says. `new_database`: another database than the one this
    home's executions are in is meant. `new_store`: the recorded store is gone for good. `new_settings`: recorded
    addresses do not count, only settings do. `only`: just these parts, of a stack that runs; empty means all.
    `adopts_temporal`: the store moves to the stack's Temporal, though another server of it may be on another one.
    """

    ephemeral: bool = False
    headless: bool = False
    wants_ui: bool = False
    http_endpoints: "HttpEndpoints | None" = None
    auto_ports: bool = False
    adopts_temporal: bool = False
    wait_timeout_s: float = 60.0
    new_database: bool = False
    new_store: bool = False
    new_settings: bool = False
    only: tuple[str, ...] = ()
