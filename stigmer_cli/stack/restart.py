"""Restarts one part of a stack, or the whole stack at its addresses, with the current settings."""

from dataclasses import replace

from stigmer_cli.clock import Clock
from stigmer_cli.errors import ConfigError, NotRunning
from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.project_home import find_provenance
from stigmer_cli.settings import BY_NAME, Settings, Source
from stigmer_cli.stack.copied_home import heed_original
from stigmer_cli.stack.down import UP_LOCK, down
from stigmer_cli.stack.endpoints_file import Endpoints, read_endpoints
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import check_local
from stigmer_cli.stack.precedence import DATABASE
from stigmer_cli.stack.settings_record import read_settings_record
from stigmer_cli.stack.start_settings import environment_of, find_pending_changes, settings_to_start, token_of
from stigmer_cli.stack.up import (
    Begun,
    Progress,
    Ready,
    UpContext,
    connect_to_supervisor,
    respawn_part,
    status_of,
    up,
    wait_until_ready,
)
from stigmer_cli.supervisor.control import Control, Unresponsive, connect
from stigmer_cli.supervisor.lock import held
from stigmer_cli.supervisor.record import ChildRecord

ANSWER_MAX_S = 2.0
STOPPING_MAX_S = 10.0
LOOK_EVERY_S = 0.05


async def restart(settings: Settings, options: StackOptions, *, progress: Progress, around: UpContext) -> Ready:
    """Stop and start the stack with the current settings, at its earlier addresses unless the settings say otherwise.

    Raises ConfigError, with nothing stopped, where they mean another database than the stack's, or a server for others.
    """
    check_local(settings)
    heed_original(settings, find_provenance(settings.home.path), around.tell)
    found = read_endpoints(settings.home)
    settings = await _keep_database(settings)
    settings_to_start(settings, options)  # raises before anything is stopped
    await down(settings.home, clock=around.clock)
    if found is not None:
        settings, options = _keep_addresses(
            settings, options, found, is_recorded=read_settings_record(settings.home) is not None
        )
    return await up(settings, options, progress=progress, around=around)


async def restart_part(
    settings: Settings, name: str, options: StackOptions, *, progress: Progress, around: UpContext
) -> Ready:
    """Stop one part of a running stack, start it with the current settings, and wait until all is ready.

    What it shares with the others, addresses and token, stays as the stack has it.

    Raises NotRunning where no stack runs, ConfigError for an unknown part, and what `up` raises.
    """
    home, clock = settings.home, around.clock
    began = clock.monotonic()
    found, control = read_endpoints(home), await connect_to_supervisor(home)
    if control is None or found is None:
        raise NotRunning(f"no stack runs in {home.shown}", hint="stigmer up")
    async with control:
        record = await status_of(control)
        child = record.child(name)
        if child is None:
            known = [child.name for child in record.children]
            nearest = suggest_nearest(name, known) or f": {', '.join(known)}"
            raise ConfigError(f"there is no part {name} to restart{nearest}", hint="stigmer restart")
        async with held(home.run / UP_LOCK, within_s=options.wait_timeout_s, clock=clock):
            token = await token_of(control, settings)
            changes = around.tell_changes(await respawn_part(control, "restart", name, settings, options, around))
        await _wait_replaced(control, child, clock)
    begun = Begun(
        endpoints=found,
        token=token,
        started=(name,),
        own=None,
        failed_before={child.name: child.failures for child in record.children if child.name != name},
    )
    record = await wait_until_ready(
        home, begun, deadline=began + options.wait_timeout_s, progress=progress, clock=clock
    )
    took_s = clock.monotonic() - began
    return Ready(
        endpoints=found,
        home=home.path,
        logs=home.logs,
        record=record,
        started=begun.started,
        took_s=took_s,
        changes=changes,
        pending=find_pending_changes(settings),
    )


async def _keep_database(settings: Settings) -> Settings:
    """`settings` with the database of the stack that runs where no layer says one; its supervisor has the URL."""
    if settings.sources.get(DATABASE, Source.DEFAULT) is not Source.DEFAULT:
        return settings
    found = None
    try:
        control = await connect(settings.home.run, within_s=ANSWER_MAX_S)
        if control is not None:
            async with control:
                found = await environment_of(control)
    except Unresponsive:  # it is going to be ended; the record knows whether the URL is needed
        return settings
    url = found.get(BY_NAME[DATABASE].variable) if found else None
    return (
        replace(settings, database_url=url, sources={**settings.sources, DATABASE: Source.RECORD}) if url else settings
    )


def _keep_addresses(
    settings: Settings, options: StackOptions, found: Endpoints, *, is_recorded: bool
) -> tuple[Settings, StackOptions]:
    """Both arguments with the values of `found` where no layer says another; a record keeps its own addresses."""
    before: dict[str, object] = {"server_port": found.server_port}
    if found.owns_temporal:
        before |= {"temporal_port": found.temporal_port, "ui_port": found.ui_port or settings.ui_port}
    else:
        before |= {"temporal_address": found.temporal_address}
    unsaid = {
        name: value
        for name, value in before.items()
        if not is_recorded and settings.sources.get(name) is Source.DEFAULT
    }
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


async def _wait_replaced(control: Control, before: ChildRecord, clock: Clock) -> None:
    """Return once another process has replaced `before`, after `STOPPING_MAX_S` seconds at the latest."""
    deadline = clock.monotonic() + STOPPING_MAX_S
    while clock.monotonic() < deadline:
        child = (await status_of(control)).child(before.name)
        if child and child.id and child.id != before.id:
            return
        await clock.sleep(LOOK_EVERY_S)
