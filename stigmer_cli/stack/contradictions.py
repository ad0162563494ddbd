"""Refuses flags that contradict a running stack: `up` changes nothing about what runs."""

from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings, Source
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.options import StackOptions


def refuse_contradictions(settings: Settings, options: StackOptions, found: Endpoints) -> None:
    """Raise ConfigError where a flag contradicts `found`, the running stack."""
    typed = {name for name, source in settings.sources.items() if source is Source.FLAG}
    asked: list[tuple[str, object, object]] = [
        ("--port", "server_port", found.server_port),
        ("--temporal-port", "temporal_port", found.temporal_port),
        ("--ui-port", "ui_port", found.ui_port),
        ("--temporal-address", "temporal_address", found.temporal_address),
    ]
    for flag, name, running in asked:
        wanted = getattr(settings, str(name))
        if name in typed and wanted != running:
            raise _contradiction(f"{flag} {wanted}", f"{flag} {running}" if running else f"without {flag}")
    if options.ephemeral and not found.ephemeral and found.owns_temporal:
        raise _contradiction("--ephemeral", "with a Temporal that keeps its memory")
    if options.headless and found.ui_url:
        raise _contradiction("--no-ui", f"with Temporal's web UI at {found.ui_url}")


def _contradiction(wanted: str, running: str) -> ConfigError:
    return ConfigError(
        f"{wanted} was asked for, but the stack runs {running}", hint=f"stigmer down, then stigmer up {wanted}"
    )
