"""Every setting of Stigmer, where each came from, and the environment that hands the same settings to a child.

A value is looked up as flag, then environment, then `config.toml`, then default, once, at the edge of the program.
"""

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from stigmer_cli.errors import ConfigError, reason_of
from stigmer_cli.home_trust import Fault, HomeFinding, inspect_home, refuse_sudo
from stigmer_cli.host_names import PORT_MAX
from stigmer_cli.libpq import TAKEN, complete_url, unused_service
from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.options import (
    BY_NAME,
    HOME_VARIABLE,
    OPTIONS,
    SETTLED_VARIABLE,
    LogLevel,
    OnExhausted,
    Option,
    ReconcileMode,
    SubmitPolicy,
)
from stigmer_cli.paths import absolute_path, require_reachable
from stigmer_cli.project_home import FOLDER_NAME, HomeSource, find_doubt, find_project_home
from stigmer_cli.proxies import NO_PROXIES, Proxies, proxies_in
from stigmer_cli.time_format import parse_span

__all__ = [
    "BY_NAME",
    "HOME_VARIABLE",
    "OPTIONS",
    "PORT_MAX",
    "Home",
    "HomeSource",
    "LogLevel",
    "OnExhausted",
    "Option",
    "ReconcileMode",
    "Settings",
    "Source",
    "SubmitPolicy",
    "defaults",
    "find_doubts",
    "home_of",
    "load",
    "parse_setting",
    "require_trusted",
]

SERVER_PORT = 7234
TEMPORAL_PORT = 7233
LOOPBACK = "127.0.0.1"
MODEL_RETRY_FOR = "15m"
ELSEWHERE = f"export {HOME_VARIABLE}=DIRECTORY"
LEAVE = f"export {HOME_VARIABLE}=~/{FOLDER_NAME}"
"""Leaves the project of another user for one's own home."""


class Source(StrEnum):
    """The layer a value was taken from."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "config.toml"
    RECORD = "record"
    """What the stack of this home was started with: for an address about which no layer says anything."""

    DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Home:
    """The one folder that everything of a local stack lies under, and the names in it; `source`: why it is this one."""

    path: Path
    source: HomeSource = field(default=HomeSource.DEFAULT, compare=False)

    @property
    def shown(self) -> str:
        """The path, and why it is this one unless it is the default."""
        match self.source:
            case HomeSource.PROJECT:
                return f"{self.path}, the home of this project"
            case HomeSource.VARIABLE:
                return f"{self.path} ({HOME_VARIABLE})"
            case HomeSource.DEFAULT:
                return str(self.path)

    @property
    def stack_name(self) -> str:
        """The stack of this home in a sentence: with the path, unless it is the default one."""
        match self.source:
            case HomeSource.PROJECT:
                return f"the stack of this project, {self.path},"
            case HomeSource.VARIABLE:
                return f"the stack in {self.path}"
            case HomeSource.DEFAULT:
                return "the stack"

    @property
    def config_file(self) -> Path:
        """Settings that a person wrote down."""
        return self.path / "config.toml"

    @property
    def token_file(self) -> Path:
        """The bearer token, mode 0600."""
        return self.path / "token"

    @property
    def secrets_key_file(self) -> Path:
        """The key that secrets are encrypted with, unless a setting names another file; mode 0600."""
        return self.path / "secrets.key"

    @property
    def data(self) -> Path:
        """Databases, and copies of them made before an upgrade touched them."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        """One log file a part; kept after `down`."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Locks, the socket and the state file of what is running."""
        return self.path / "run"

    @property
    def store_file(self) -> Path:
        """The SQLite file that executions are kept in, unless a database URL names another."""
        return self.data / "stigmer.db"

    @property
    def store_id_file(self) -> Path:
        """The id of the store that the server of this home had open last: for other processes to read."""
        return self.data / "store.id"

    @property
    def adoption_file(self) -> Path:
        """Its presence asks the next server of this home to move the store to its Temporal; it removes the file."""
        return self.run / "adopt-temporal"

    @property
    def temporal_file(self) -> Path:
        """The database file of the stack's own Temporal."""
        return self.data / "temporal.db"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, validated; `sources` says for each name which layer it came from.

    `distrust` is why nothing in the home counts: somebody else owns it, or could write there. Empty: it can be trusted.
    `proxies` are those that the environment names.
    """

    home: Home
    server_url: str | None = None
    insecure_http: bool = False
    server_port: int = SERVER_PORT
    allowed_hosts: str | None = None
    listen: str = LOOPBACK
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    behind_proxy: bool = False
    server_ca_file: str | None = None
    temporal_address: str | None = None
    temporal_namespace: str = "default"
    temporal_tls: bool | None = None
    temporal_ca_file: str | None = None
    temporal_cert_file: str | None = None
    temporal_key_file: str | None = None
    temporal_server_name: str | None = None
    temporal_api_key_file: str | None = None
    temporal_port: int = TEMPORAL_PORT
    ui_port: int | None = None
    ui_address: str | None = None
    database_url: str | None = None
    submit_policy: SubmitPolicy = SubmitPolicy.QUEUE
    reconcile: ReconcileMode = ReconcileMode.AUTO
    token: str | None = field(default=None, repr=False)
    secrets_key_file: str | None = None
    log_level: LogLevel = LogLevel.INFO
    temporal_binary: str | None = None
    openai_base_url: str | None = None
    openai_api_key: str | None = field(default=None, repr=False)
    model_silent_for: str = "5m"
    model_retry_for: str = MODEL_RETRY_FOR
    tool_silent_for: str = "2m"
    on_exhausted: OnExhausted = OnExhausted.PAUSE
    retention: str | None = None
    event_retention: str = "24h"
    workflow_tasks_max: int = 10_000
    sources: Mapping[str, Source] = field(default_factory=dict, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    distrust: str = field(default="", compare=False)
    proxies: Proxies = field(default=NO_PROXIES, compare=False)

    @property
    def runs_own_temporal(self) -> bool:
        """Whether the stack starts a Temporal of its own."""
        return self.temporal_address is None

    @property
    def temporal_target(self) -> str:
        """HOST:PORT of the Temporal that executions are sent to."""
        return self.temporal_address or f"127.0.0.1:{self.temporal_port}"

    @property
    def server_target(self) -> str:
        """The URL that commands and the runner talk to."""
        return self.server_url or f"http://{LOOPBACK}:{self.server_port}"

    @property
    def is_insecure_allowed(self) -> bool:
        """Whether a person said that the way to the server that they named by URL is safe as it is."""
        return self.insecure_http and self.server_url is not None

    @property
    def model_retry_for_s(self) -> float:
        """For how long a busy model is asked again, in seconds."""
        return parse_span(self.model_retry_for)

    @property
    def retention_s(self) -> float | None:
        """How long after it was accepted an execution that has ended is kept, in seconds; None: for ever."""
        return parse_span(self.retention) if self.retention else None

    @property
    def event_retention_s(self) -> float:
        """How long after it came in an event is kept at most, in seconds."""
        return parse_span(self.event_retention)

    @property
    def database_target(self) -> str:
        """The URL of the database, without a driver name."""
        return self.database_url or f"sqlite:///{self.home.store_file}"

    def environment(self) -> dict[str, str]:
        """The variables that make `load` in a child produce these settings, whatever its `config.toml` says."""
        found = {HOME_VARIABLE: str(self.home.path), SETTLED_VARIABLE: "true"}
        for option in OPTIONS:
            value = getattr(self, option.name)
            if value is not None:
                found[option.variable] = str(value)
        return found

    def environment_in(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ` for a child, with these settings in it and no other: what is not set here is taken out."""
        ours = {option.variable for option in OPTIONS} | TAKEN
        return {**{name: value for name, value in environ.items() if name not in ours}, **self.environment()}


def home_of(environ: Mapping[str, str], *, user_home: Path | None, working_directory: Path | None = None) -> Home:
    """The home that `environ` means, else that of the project around `working_directory`, else the user's.

    No setting can make it unreadable. Raises ConfigError where it cannot be resolved or reached, or nothing names it.
    """
    if named := environ.get(HOME_VARIABLE):
        return Home(path=require_reachable(absolute_path(named), hint=ELSEWHERE), source=HomeSource.VARIABLE)
    default = None if user_home is None else absolute_path(user_home / FOLDER_NAME)
    if project := find_project_home(working_directory, default):
        return Home(path=project, source=HomeSource.PROJECT)
    if default is None:
        raise ConfigError(
            f"there is no home directory: HOME is not set, and this system has no entry for user id {os.getuid()}",
            hint=ELSEWHERE,
        )
    return Home(path=require_reachable(default, hint=ELSEWHERE))


def find_doubts(home: Home) -> tuple[HomeFinding, ...]:
    """Why nothing in `home` counts, the most important first; empty where it can be trusted."""
    doubts = inspect_home(home.path)
    if home.source is not HomeSource.PROJECT:
        return doubts
    doubts = tuple(replace(one, fix=LEAVE) if one.fault is Fault.OWNER else one for one in doubts)
    foreign = find_doubt(home.path)
    return doubts if foreign is None or doubts else (foreign,)


def require_trusted(home: Home) -> None:
    """Raise MachineError, with the first of `find_doubts`, where `home` cannot be trusted."""
    for doubt in find_doubts(home):
        raise doubt.error()


def load(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    *,
    user_home: Path | None,
    working_directory: Path | None = None,
    is_look: bool = False,
) -> Settings:
    """Read all layers once.

    `flags` maps option names to what was typed (None: not typed). Raises ConfigError, naming the layer and the
    value, for anything that does not parse, and for an unknown key in `config.toml`; MachineError where another user
    owns the home, or a file in it, or could write there. For a command that only looks (`is_look`) the home is then
    not read, and `distrust` says why.
    """
    home = home_of(environ, user_home=user_home, working_directory=working_directory)
    doubts = find_doubts(home)
    if not is_look:
        if doubts:
            raise doubts[0].error()
        refuse_sudo(home.path, environ)
    layers: list[tuple[Source, Mapping[str, str]]] = [
        (Source.FLAG, {name: value for name, value in flags.items() if value is not None}),
        (Source.ENVIRONMENT, {o.name: environ[o.variable] for o in OPTIONS if environ.get(o.variable)}),
        (Source.FILE, {} if doubts or environ.get(SETTLED_VARIABLE) else _read_file(home.config_file)),
    ]
    values: dict[str, Any] = {}
    sources = {option.name: Source.DEFAULT for option in OPTIONS}
    for option in OPTIONS:
        for source, layer in layers:
            if option.name in layer:
                values[option.name] = _parsed(option, layer[option.name], source, home)
                sources[option.name] = source
                break
    distrust = doubts[0].message if doubts else ""
    url = values.get("database_url")
    if url is not None:
        values["database_url"] = complete_url(url, environ)
    return Settings(
        home=home,
        sources=sources,
        warnings=_strange_variables(environ, url),
        distrust=distrust,
        proxies=proxies_in(environ),
        **values,
    )


def parse_setting(name: str, text: str) -> object:
    """`text` as the value of the option called `name`; raises ConfigError for an unknown name or a wrong value."""
    if name not in BY_NAME:
        raise ConfigError(f"there is no setting {name!r}{suggest_nearest(name, BY_NAME)}", hint="stigmer config list")
    return BY_NAME[name].parse(text)


def defaults() -> Mapping[str, object]:
    """The default of every option, by name."""
    return {f.name: f.default for f in fields(Settings) if f.name in BY_NAME}


def _read_file(path: Path) -> dict[str, str]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {reason_of(error)}", hint=f"correct or remove {path}") from error
    for name, value in found.items():
        if name not in BY_NAME:
            raise ConfigError(
                f"{path}: there is no setting {name!r}{suggest_nearest(name, BY_NAME)}",
                hint=f"stigmer config unset {shlex.quote(name)}",
            )
        if not isinstance(value, str | int):
            raise ConfigError(f"{path}: {name} must be a string or a number")
    return {name: str(value) for name, value in found.items()}


def _parsed(option: Option, text: str, source: Source, home: Home) -> object:
    try:
        return option.parse(text)
    except ConfigError as error:
        places = {
            Source.FLAG: option.flag or f"--{option.name.replace('_', '-')}",
            Source.ENVIRONMENT: option.variable,
            Source.FILE: f"{option.name} in {home.config_file}",
        }
        hints = {
            Source.FLAG: "stigmer up --help",
            Source.ENVIRONMENT: f"unset {option.variable}",
            Source.FILE: f"stigmer config unset {option.name}",
        }
        raise ConfigError(f"{places[source]}: {error.message}", hint=hints[source]) from None


def _strange_variables(environ: Mapping[str, str], database_url: str | None) -> tuple[str, ...]:
    known = {HOME_VARIABLE, SETTLED_VARIABLE, "STIGMER_EXECUTION_ID", *(option.variable for option in OPTIONS)}
    strangers = sorted(name for name in environ if name.startswith("STIGMER_") and name not in known)
    # What a shell leaves behind that was given the value of another variable, which is not set there.
    database = BY_NAME["database_url"].variable
    empty = [f"variable {database} is empty; it counts as not set"] if environ.get(database) == "" else []
    unused = [words] if (words := unused_service(database_url, environ)) else []
    return (*(f"unknown variable {name}{suggest_nearest(name, known)}" for name in strangers), *empty, *unused)
