"""Every setting of Stigmer, where each came from, and the environment that hands the same settings to a child.

A value is looked up as flag, then environment, then `config.toml`, then default, once, at the edge of the program.
"""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from stigmer_cli.errors import ConfigError

SERVER_PORT = 7234
TEMPORAL_PORT = 7233
UI_PORT = 8233
PORT_MAX = 65535


class SubmitPolicy(StrEnum):
    """What a request does while Temporal is away: wait in the queue, or fail at once and leave nothing behind."""

    QUEUE = "queue"
    FAIL_FAST = "fail-fast"


class ReconcileMode(StrEnum):
    """Whether the server brings rows and Temporal back in line by itself."""

    AUTO = "auto"
    MANUAL = "manual"


class LogLevel(StrEnum):
    """The least important log line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Source(StrEnum):
    """The layer a value was taken from."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "config.toml"
    DEFAULT = "default"


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a port number") from None
    if not 0 < port <= PORT_MAX:
        raise ConfigError(f"{port} is not a port: 1 to {PORT_MAX}")
    return port


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host:
        raise ConfigError(f"{text!r} is not HOST:PORT")
    _port(port)
    return text


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ConfigError(f"{text!r} is not an http:// or https:// URL")
    return text.rstrip("/")


def _database_url(text: str) -> str:
    if not text.startswith(("sqlite:///", "postgresql://")):
        raise ConfigError(
            f"the database URL must start with sqlite:/// or postgresql://, not {text.split(':', maxsplit=1)[0]!r}"
        )
    return text


def _text(text: str) -> str:
    if not text.strip():
        raise ConfigError("an empty value")
    return text


def _file(text: str) -> str:
    return str(Path(_text(text)).expanduser().absolute())


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ConfigError(f"{text!r} is neither true nor false")
    return _SWITCHES[text.lower()]


_SWITCHES = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def _choice(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    def parse(text: str) -> StrEnum:
        try:
            return kind(text.lower())
        except ValueError:
            raise ConfigError(f"{text!r} is none of {', '.join(kind)}") from None

    return parse


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting as data: its name (also the key in `config.toml`), its variable, how it is read, what it means."""

    name: str
    variable: str
    parse: Callable[[str], Any]
    about: str
    is_secret: bool = False


OPTIONS: tuple[Option, ...] = (
    Option(name="server_url", variable="STIGMER_SERVER_URL", parse=_url, about="the server that commands talk to"),
    Option(name="server_port", variable="STIGMER_SERVER_PORT", parse=_port, about="the port the server listens on"),
    Option(
        name="temporal_address",
        variable="STIGMER_TEMPORAL_ADDRESS",
        parse=_address,
        about="a Temporal that somebody else runs; unset: the stack runs its own",
    ),
    Option(
        name="temporal_namespace",
        variable="STIGMER_TEMPORAL_NAMESPACE",
        parse=_text,
        about="the namespace that executions run in",
    ),
    Option(
        name="temporal_tls",
        variable="STIGMER_TEMPORAL_TLS",
        parse=_switch,
        about="whether that Temporal wants TLS; unset: it does where there is a key file",
    ),
    Option(
        name="temporal_api_key_file",
        variable="STIGMER_TEMPORAL_API_KEY_FILE",
        parse=_file,
        about="the file with the API key for that Temporal, read again for each dial",
    ),
    Option(
        name="temporal_port",
        variable="STIGMER_TEMPORAL_PORT",
        parse=_port,
        about="the port of the stack's own Temporal",
    ),
    Option(name="ui_port", variable="STIGMER_UI_PORT", parse=_port, about="the port of Temporal's web UI"),
    Option(
        name="database_url",
        variable="STIGMER_DATABASE_URL",
        parse=_database_url,
        about="sqlite:///PATH or postgresql://...; unset: a SQLite file in the home",
        is_secret=True,
    ),
    Option(
        name="submit_policy",
        variable="STIGMER_SUBMIT_POLICY",
        parse=_choice(SubmitPolicy),
        about="queue: accept while Temporal is away; fail-fast: refuse",
    ),
    Option(
        name="reconcile",
        variable="STIGMER_RECONCILE",
        parse=_choice(ReconcileMode),
        about="auto: the server brings orphans back by itself; manual: only when asked",
    ),
    Option(
        name="token",
        variable="STIGMER_TOKEN",
        parse=_text,
        about="the bearer token; unset: the token file in the home",
        is_secret=True,
    ),
    Option(name="log_level", variable="STIGMER_LOG_LEVEL", parse=_choice(LogLevel), about="the least important line"),
    Option(
        name="temporal_binary",
        variable="STIGMER_TEMPORAL_BINARY",
        parse=_text,
        about="another temporal binary than the one installed with Stigmer",
    ),
    Option(
        name="openai_base_url",
        variable="OPENAI_BASE_URL",
        parse=_url,
        about="the OpenAI-compatible endpoint behind openai: models (Ollama, llama.cpp, ...)",
    ),
    Option(
        name="openai_api_key",
        variable="OPENAI_API_KEY",
        parse=_text,
        about="the key for that endpoint",
        is_secret=True,
    ),
)
HOME_VARIABLE = "STIGMER_HOME"
BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}


@dataclass(frozen=True, kw_only=True)
class Home:
    """The one folder that everything of a local stack lies under, and the names in it."""

    path: Path

    @property
    def config_file(self) -> Path:
        """Settings that a person wrote down."""
        return self.path / "config.toml"

    @property
    def token_file(self) -> Path:
        """The bearer token, mode 0600."""
        return self.path / "token"

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
    def temporal_file(self) -> Path:
        """The database file of the stack's own Temporal."""
        return self.data / "temporal.db"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, validated; `sources` says for each name which layer it came from."""

    home: Home
    server_url: str | None = None
    server_port: int = SERVER_PORT
    temporal_address: str | None = None
    temporal_namespace: str = "default"
    temporal_tls: bool | None = None
    temporal_api_key_file: str | None = None
    temporal_port: int = TEMPORAL_PORT
    ui_port: int = UI_PORT
    database_url: str | None = None
    submit_policy: SubmitPolicy = SubmitPolicy.QUEUE
    reconcile: ReconcileMode = ReconcileMode.AUTO
    token: str | None = field(default=None, repr=False)
    log_level: LogLevel = LogLevel.INFO
    temporal_binary: str | None = None
    openai_base_url: str | None = None
    openai_api_key: str | None = field(default=None, repr=False)
    sources: Mapping[str, Source] = field(default_factory=dict, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

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
        return self.server_url or f"http://127.0.0.1:{self.server_port}"

    @property
    def database_target(self) -> str:
        """The URL of the database, without a driver name."""
        return self.database_url or f"sqlite:///{self.home.store_file}"

    def environment(self) -> dict[str, str]:
        """The variables that make `load` in a child produce these settings, whatever its `config.toml` says."""
        found = {HOME_VARIABLE: str(self.home.path)}
        for option in OPTIONS:
            value = getattr(self, option.name)
            if value is not None:
                found[option.variable] = str(value)
        return found


def load(flags: Mapping[str, str | None], environ: Mapping[str, str], *, user_home: Path) -> Settings:
    """Read all layers once.

    `flags` maps option names to what was typed (None: not typed). Raises ConfigError, naming the layer and the
    value, for anything that does not parse, and for an unknown key in `config.toml`.
    """
    home = Home(path=Path(environ.get(HOME_VARIABLE) or user_home / ".stigmer").expanduser().absolute())
    layers: list[tuple[Source, Mapping[str, str]]] = [
        (Source.FLAG, {name: value for name, value in flags.items() if value is not None}),
        (Source.ENVIRONMENT, {o.name: environ[o.variable] for o in OPTIONS if environ.get(o.variable)}),
        (Source.FILE, _read_file(home.config_file)),
    ]
    values: dict[str, Any] = {}
    sources = {option.name: Source.DEFAULT for option in OPTIONS}
    for option in OPTIONS:
        for source, layer in layers:
            if option.name in layer:
                values[option.name] = _parsed(option, layer[option.name], source, home)
                sources[option.name] = source
                break
    return Settings(home=home, sources=sources, warnings=_unknown_variables(environ), **values)


def parsed(name: str, text: str) -> object:
    """`text` as the value of the option called `name`; raises ConfigError for an unknown name or a wrong value."""
    if name not in BY_NAME:
        raise ConfigError(f"there is no setting {name!r}{_nearest(name, BY_NAME)}", hint="stigmer config list")
    return BY_NAME[name].parse(text)


def defaults() -> Mapping[str, object]:
    """The default of every option, by name."""
    return {f.name: f.default for f in fields(Settings) if f.name in BY_NAME}


def _read_file(path: Path) -> dict[str, str]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", hint=f"mend or remove {path}") from error
    for name, value in found.items():
        if name not in BY_NAME:
            raise ConfigError(f"{path}: there is no setting {name!r}{_nearest(name, BY_NAME)}")
        if not isinstance(value, str | int):
            raise ConfigError(f"{path}: {name} must be a string or a number")
    return {name: str(value) for name, value in found.items()}


def _parsed(option: Option, text: str, source: Source, home: Home) -> object:
    try:
        return option.parse(text)
    except ConfigError as error:
        places = {
            Source.FLAG: f"--{option.name.replace('_', '-')}",
            Source.ENVIRONMENT: option.variable,
            Source.FILE: f"{option.name} in {home.config_file}",
        }
        raise ConfigError(f"{places[source]}: {error.message}", hint="stigmer config list") from None


def _unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    known = {HOME_VARIABLE, *(option.variable for option in OPTIONS)}
    strangers = sorted(name for name in environ if name.startswith("STIGMER_") and name not in known)
    return tuple(f"unknown variable {name}{_nearest(name, known)}" for name in strangers)


def _nearest(name: str, known: Mapping[str, object] | set[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
