"""Restarts one part of a stack by itself, or the whole of it as it was started, with the settings of today."""

from dataclasses import replace

from stigmer_cli.clock import Clock
from stigmer_cli.credential import ensure_token
from stigmer_cli.errors import ConfigError, NotRunning
from stigmer_cli.settings import Settings, Source
from stigmer_cli.stack.down import down
from stigmer_cli.stack.parts import StackOptions
from stigmer_cli.stack.state import Endpoints, endpoints
from stigmer_cli.stack.up import Begun, Progress, Ready, Surroundings, connected, status_of, until_ready, up
from stigmer_cli.supervisor.control import Control
from stigmer_cli.supervisor.record import ChildRecord

STOPPING_MAX_S = 10.0
LOOK_EVERY_S = 0.05


async def restart(settings: Settings, options: StackOptions, *, progress: Progress, around: Surroundings) -> Ready:
    """Down and up again, on the ports and with the Temporal that it had unless the settings say otherwise."""
    found = endpoints(settings.home)
    await down(settings.home, clock=around.clock)
    if found is not None:
        settings, options = _as_it_was(settings, options, found)
    return await up(settings, options, progress=progress, around=around)


async def restart_part(
    settings: Settings, name: str, options: StackOptions, *, progress: Progress, around: Surroundings
) -> Ready:
    """Stop and start one part of a running stack and wait until all is ready.

    Raises NotRunning where no stack runs, ConfigError for an unknown part, and what `up` raises.
    """
    home, clock = settings.home, around.clock
    began = clock.monotonic()
    found, control = endpoints(home), await connected(home)
    if control is None or found is None:
        raise NotRunning(f"no stack runs in {home.path}", hint="stigmer up")
    async with control:
        record = await status_of(control)
        child = record.child(name)
        if child is None:
            known = ", ".join(child.name for child in record.children)
            raise ConfigError(f"there is no part {name} to restart: {known}", hint="stigmer restart")
        await control.ask("restart", name)
        await _replaced(control, child, clock)
    begun = Begun(
        endpoints=found,
        token=settings.token or ensure_token(home),
        started=(name,),
        own=None,
        failed_before={child.name: child.failures for child in record.children if child.name != name},
    )
    record = await until_ready(home, begun, deadline=began + options.wait_timeout_s, progress=progress, clock=clock)
    took_s = clock.monotonic() - began
    return Ready(endpoints=found, home=home.path, logs=home.logs, record=record, started=begun.started, took_s=took_s)


def _as_it_was(settings: Settings, options: StackOptions, found: Endpoints) -> tuple[Settings, StackOptions]:
    before: dict[str, object] = {"server_port": found.server_port}
    if found.owns_temporal:
        before |= {"temporal_port": found.temporal_port, "ui_port": found.ui_port or settings.ui_port}
    else:
        before |= {"temporal_address": found.temporal_address}
    unsaid = {name: value for name, value in before.items() if settings.sources.get(name) is Source.DEFAULT}
    is_headless = options.headless or (found.owns_temporal and found.ui_port is None and not options.wants_ui)
    is_in_reach = found.ui_port is not None and found.ui_source is None
    return (
        replace(settings, **unsaid),  # type: ignore[arg-type] # the keys are settings, each with a value of its kind
        replace(
            options,
            ephemeral=options.ephemeral or found.ephemeral,
            headless=is_headless,
            wants_ui=options.wants_ui or is_in_reach,
        ),
    )


async def _replaced(control: Control, before: ChildRecord, clock: Clock) -> None:
    """Return once another process stands where `before` stood; no later than `STOPPING_MAX_S`."""
    deadline = clock.monotonic() + STOPPING_MAX_S
    while clock.monotonic() < deadline:
        child = (await status_of(control)).child(before.name)
        if child and child.id and child.id != before.id:
            return
        await clock.sleep(LOOK_EVERY_S)
