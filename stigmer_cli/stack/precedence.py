"""Which settings count: those that a stack was started with, or those of the caller.

An address (where a part is found, the database included) counts as the stack was started with it. While the stack runs,
commands follow the record; once it is down, `up` uses the record wherever no layer says another value. Every
other setting, and every key, comes from the command that starts a part.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stigmer_cli.database_url import database_of, without_password
from stigmer_cli.errors import ConfigError
from stigmer_cli.options import ADDRESSES, BY_NAME, OPTIONS, Option
from stigmer_cli.settings import Settings, Source, defaults
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.settings_record import RUNNER, SERVER, Given, SettingsRecord

DATABASE, TOKEN, TEMPORAL = "database_url", "token", "temporal_address"
SHARED: tuple[Option, ...] = tuple(option for option in OPTIONS if option.name in ADDRESSES or option.name == TOKEN)
"""What all parts of one stack must agree on: a part that is started alone gets them from its neighbours."""

OF_ONE_TEMPORAL = frozenset(name for name in ADDRESSES if name.startswith("temporal_") and name != "temporal_port") | {
    "ui_address"
}
"""What describes the Temporal at `temporal_address`: none of it applies to another Temporal, least of all a key."""


def keep_recorded(settings: Settings, record: SettingsRecord | None) -> Settings:
    """`settings` with each address that no layer says as the stack was last started with it.

    A database URL that had a password is not kept: the record does not hold it (see `refuse_another_database`).
    """
    if record is None:
        return settings
    before = record.find_given(TEMPORAL)
    is_moved = _is_said(settings, TEMPORAL) and before is not None and before.value != settings.temporal_address
    values: dict[str, Any] = {}
    for option in OPTIONS:
        given = record.find_given(option.name)
        if (
            option.name not in ADDRESSES
            or _is_said(settings, option.name)
            or given is None
            or given.source is Source.DEFAULT
        ):
            continue
        if is_moved and option.name in OF_ONE_TEMPORAL:
            continue
        if given.value is not None and given.fingerprint is None:
            values[option.name] = option.parse(given.value)
    return _with(settings, values)


def follow_running_stack(settings: Settings, found: Endpoints, record: SettingsRecord | None) -> Settings:
    """`settings` for a command of a stack that runs: its addresses, whatever this shell says, are those of `found`.

    Only a server URL that was said means another server, and then the token is for that one.
    """
    values: dict[str, Any] = {
        "server_port": found.server_port,
        TEMPORAL: None if found.owns_temporal else found.temporal_address,
        "temporal_namespace": found.namespace,
    }
    values |= {"temporal_port": found.temporal_port} if found.temporal_port is not None else {}
    values |= {"ui_port": found.ui_port} if found.ui_port is not None else {}
    for option in OPTIONS:
        given = record.find_given(option.name) if record and option.name in ADDRESSES - set(values) else None
        if given is not None and not (option.name == DATABASE and _is_same_database(settings, given)):
            values[option.name] = None if given.value is None else option.parse(given.value)
    if settings.server_url is None:
        values |= {"server_url": found.server_url, "insecure_http": False}
        token = record.find_given(TOKEN, SERVER) if record else None
        if token is not None and not token.is_set:
            values[TOKEN] = None
    return _with(settings, values)


def as_started(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """`settings` for one part of a stack that runs, whose other parts were started with `environment`."""
    fallback = defaults()
    values = {
        option.name: option.parse(environment[option.variable])
        if option.variable in environment
        else fallback[option.name]
        for option in SHARED
    }
    if values[TEMPORAL] is None:  # then the server was given the drawn place of its own Temporal's UI: no setting
        del values["ui_address"]
    return _with(settings, values)


def settings_of_runner(settings: Settings, found: Endpoints | None, record: SettingsRecord | None) -> Settings:
    """`settings` with the endpoint of models that the runner of the stack was given, where it is known."""
    url = record.find_given("openai_base_url", RUNNER) if record and found else None
    return settings if url is None else replace(settings, openai_base_url=url.value)


def refuse_another_database(settings: Settings, record: SettingsRecord | None) -> None:
    """Raise ConfigError where `settings` mean another database than the one this home's executions are in."""
    before = record.find_given(DATABASE, SERVER) if record else None
    if before is None or _is_same_database(settings, before):
        return
    home = settings.home
    where = before.value or f"sqlite:///{home.store_file}"
    shown = without_password(settings.database_target)
    variable = BY_NAME[DATABASE].variable
    if not _is_said(settings, DATABASE):
        said_by = f", as {name_source(before.source)} said" if before.source is not Source.DEFAULT else ""
        raise ConfigError(
            f"the executions of {home.path} are in {where}{said_by}; {variable} is not set"
            " here, and its password is not recorded",
            hint=f"export {variable}=..., or to leave them and begin with {shown}: stigmer up --new-database",
        )
    says = "config.toml" if settings.sources.get(DATABASE) is Source.FILE else variable
    raise ConfigError(
        f"the executions of {home.path} are in {where}, and {says} names another database here: {shown}",
        hint=f"take that back (unset {variable}), or to leave them: stigmer up --new-database",
    )


def name_source(source: Source, option: Option = BY_NAME[DATABASE]) -> str:
    """The layer `source` as a person knows it."""
    names = {
        Source.FLAG: "a flag",
        Source.ENVIRONMENT: option.variable,
        Source.FILE: "config.toml",
        Source.RECORD: "the record",
        Source.DEFAULT: "the default",
    }
    return names[source]


def layer_of(settings: Settings, name: str) -> str:
    """The layer that says the setting `name`, as a person knows it; empty for the default."""
    source = settings.sources.get(name, Source.DEFAULT)
    return "" if source is Source.DEFAULT else name_source(source, BY_NAME[name])


def take_back(settings: Settings, name: str) -> str:
    """The command after which this shell, or config.toml, no longer says the setting `name`."""
    is_in_file = settings.sources.get(name) is Source.FILE
    return f"stigmer config unset {name}" if is_in_file else f"unset {BY_NAME[name].variable}"


def _is_same_database(settings: Settings, given: Given) -> bool:
    return database_of(settings.database_url, settings.home) == database_of(given.value, settings.home)


def _is_said(settings: Settings, name: str) -> bool:
    return settings.sources.get(name, Source.DEFAULT) not in (Source.DEFAULT, Source.RECORD)


def _with(settings: Settings, values: Mapping[str, Any]) -> Settings:
    sources = {**settings.sources, **{name: Source.RECORD for name in values if name in ADDRESSES | {TOKEN}}}
    return replace(settings, sources=sources, **values)
