"""Starts the parts of a stack with the settings of the caller, and records what each was given."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from stigmer_cli.credential import ensure_token
from stigmer_cli.errors import ConfigError, MachineError, reason_of
from stigmer_cli.settings import BY_NAME, Home, Settings, Source
from stigmer_cli.stack.differences import Difference, find_differences, would_change
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.precedence import DATABASE, SHARED, TOKEN, as_started, keep_recorded, refuse_another_database
from stigmer_cli.stack.settings_record import (
    FILE,
    new_record,
    read_settings_record,
    write_settings_record,
)
from stigmer_cli.supervisor.control import Control
from stigmer_cli.supervisor.spec import ChildSpec, child_to_json

OLD_SUPERVISOR = (
    "an older version started the supervisor, so the part keeps its settings;"
    " `stigmer restart` applies those of this shell"
)


def settings_to_start(settings: Settings, options: StackOptions) -> Settings:
    """The settings to start a stack with: the recorded ones where no layer says another value.

    Raises ConfigError where they mean another database than before, and `options` do not allow that.
    """
    record = read_settings_record(settings.home)
    if not options.new_database:
        refuse_another_database(keep_recorded(settings, record), record)
    if options.new_settings:
        record = record.only_setting(DATABASE) if record else None
    if options.new_database:
        record = record.without_setting(DATABASE) if record else None
    return keep_recorded(settings, record)


def find_pending_changes(settings: Settings) -> tuple[Difference, ...]:
    """The settings of the running parts that a restart of all of them would change."""
    return would_change(read_settings_record(settings.home), settings)


def refuse_new(settings: Settings, options: StackOptions) -> None:
    """Raise ConfigError where `options` ask a stack that runs for another database, or other addresses, than it has."""
    for flag, is_asked in (("--new-database", options.new_database), ("--new-settings", options.new_settings)):
        if is_asked and would_change(
            read_settings_record(settings.home), settings, is_new=options.new_settings, is_database_meant=is_asked
        ):
            raise ConfigError(
                f"{flag} was asked for, but the stack runs with what it was started with",
                hint=f"stigmer down, then stigmer up {flag}",
            )


class Opening:
    """The record of a stack that is being started: written before the parts start, taken back where they fail."""

    def __init__(self, asked: Settings, started: Settings, names: Sequence[str], *, at: str) -> None:
        """`started` are the settings `asked` once ports were found for them."""
        self._home = asked.home
        self._before = read_settings_record(asked.home)
        moved = {name for name in asked.sources if getattr(asked, name) != getattr(started, name)}
        sources = {**asked.sources, **dict.fromkeys(moved - {"server_url"}, Source.FLAG)}  # --auto-ports
        before = self._before or new_record()
        self._now = before.with_parts(replace(started, sources=sources), names, at=at).only_parts(names)
        self.changes = find_differences(self._before, self._now, names)

    def write(self) -> None:
        """Write the record; raises OSError."""
        write_settings_record(self._home, self._now)

    def take_back(self) -> None:
        """Restore the previous record, unless another process has written one since."""
        if read_settings_record(self._home) != self._now:
            return
        with suppress(OSError):  # the error to report is why the stack did not start
            if self._before is None:
                (self._home.data / FILE).unlink(missing_ok=True)
            else:
                write_settings_record(self._home, self._before)


async def respawn(
    control: Control,
    op: str,
    name: str,
    *,
    settings: Settings,
    build: Callable[[Settings], Sequence[ChildSpec]],
    at: str,
) -> tuple[Difference, ...] | None:
    """Have the supervisor `start` or `restart` the part `name` with `settings`; what its parts share stays as it is.

    Returns what the part is given differently, None where the supervisor is too old for that. Raises ConfigError for
    an unknown part, and MachineError where its record cannot be written.
    """
    environment = await environment_of(control)
    if environment is None:
        await control.ask(op, name)
        return None
    used = as_started(settings, environment)
    spec = next((spec for spec in build(used) if spec.name == name), None)
    if spec is None:
        raise ConfigError(f"the settings of this shell have no part {name}", hint="stigmer restart")
    answer = await control.ask(op, name, more={"spec": child_to_json(spec)})
    return _record_given(settings.home, name, used, at) if answer.get("taken") else ()


async def environment_of(control: Control) -> Mapping[str, str] | None:
    """The variables that the parts of a stack share, as its supervisor has them; None where it is too old to tell."""
    names = [child.name for child in (await control.status()).children]
    wanted = [option.variable for option in SHARED]
    for name in names:
        found = (await control.ask("environment", name, more={"variables": wanted})).get("environment")
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else None
    return None


async def token_of(control: Control, settings: Settings) -> str:
    """The token that the stack which runs was started with: this shell may have that of another server."""
    environment = await environment_of(control)
    if environment is None:
        return settings.token or ensure_token(settings.home)
    return environment.get(BY_NAME[TOKEN].variable) or ensure_token(settings.home)


def _record_given(home: Home, name: str, used: Settings, at: str) -> tuple[Difference, ...]:
    before = read_settings_record(home) or new_record()
    now = before.with_parts(used, (name,), at=at)
    try:
        write_settings_record(home, now)
    except OSError as error:
        raise MachineError(
            f"cannot write {home.data / FILE}: {reason_of(error)}", hint="free space, or make it writable"
        ) from error
    return find_differences(before, now, (name,))
