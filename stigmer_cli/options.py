"""Every option as data: its name, its variable, how a value is read and refused, and what it means."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stigmer_cli.errors import ConfigError
from stigmer_cli.host_names import find_url_problem, find_user_problem, parse_address, parse_hosts, parse_port
from stigmer_cli.paths import absolute_path
from stigmer_cli.time_format import parse_span, span

SPAN_MIN_S, SPAN_MAX_S = 1.0, 86_400.0
RETRY_MAX_S = 7 * 86_400.0
RETENTION_MIN_S, RETENTION_MAX_S = 3_600.0, 3_650 * 86_400.0


class SubmitPolicy(StrEnum):
    """What a request does while Temporal is away: wait in the queue, or fail at once and leave nothing behind."""

    QUEUE = "queue"
    FAIL_FAST = "fail-fast"


class ReconcileMode(StrEnum):
    """Whether the server brings rows and Temporal back in line by itself."""

    AUTO = "auto"
    MANUAL = "manual"


class OnExhausted(StrEnum):
    """What becomes of an execution whose retries are used up, or that reached a limit."""

    PAUSE = "pause"
    FAIL = "fail"


class LogLevel(StrEnum):
    """The least important log line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _url(text: str) -> str:
    if problem := find_url_problem(text):
        raise ConfigError(problem)
    return text.rstrip("/")


def _server_url(text: str) -> str:
    if problem := find_user_problem(url := _url(text)):
        raise ConfigError(problem)
    return url


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
    return str(absolute_path(_text(text)))


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ConfigError(f"{text!r} is neither true nor false")
    return _SWITCHES[text.lower()]


SWITCH = ("true", "false")
_SWITCHES = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def _listen(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip().strip("[]")))
    except ValueError:
        raise ConfigError(f"{text!r} is not an IP address (the port is STIGMER_SERVER_PORT)") from None


@dataclass(frozen=True)
class _Choice:
    """Reads one of the values of `kind`, in any case."""

    kind: type[StrEnum]

    def __call__(self, text: str) -> StrEnum:
        try:
            return self.kind(text.lower())
        except ValueError:
            raise ConfigError(f"{text!r} is none of {', '.join(self.kind)}") from None


def _span(min_s: float, max_s: float) -> Callable[[str], str]:
    """A span of time, checked, as it was written: `parse_span` reads it where it counts."""

    def parse(text: str) -> str:
        try:
            seconds = parse_span(text)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if not min_s <= seconds <= max_s:
            raise ConfigError(f"{text!r} is not a span of time from {span(min_s)} to {span(max_s)}")
        return text.strip()

    return parse


def _count(count_max: int) -> Callable[[str], int]:
    """A whole number from 1 to `count_max`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(count_max)) and 1 <= int(text) <= count_max):
            raise ConfigError(f"{text!r} is not a whole number from 1 to {count_max:,}")
        return int(text)

    return parse


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting as data: its name (also the key in `config.toml`), its variable, how it is read, what it means.

    `flag`: the option of `stigmer up`; by default it has the setting's name.
    """

    name: str
    variable: str
    parse: Callable[[str], Any]
    about: str
    is_secret: bool = False
    flag: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        """The values that it takes, if these are a few words."""
        return tuple(self.parse.kind) if isinstance(self.parse, _Choice) else SWITCH * (self.parse is _switch)

    @property
    def is_file(self) -> bool:
        """Whether its value is the path of a file."""
        return self.parse is _file


OPTIONS: tuple[Option, ...] = (
    Option(
        name="server_url", variable="STIGMER_SERVER_URL", parse=_server_url, about="the server that commands talk to"
    ),
    Option(
        name="insecure_http",
        variable="STIGMER_INSECURE_HTTP",
        parse=_switch,
        about="whether the token may go to server_url without TLS and without a proof of who answers",
    ),
    Option(
        name="server_port",
        variable="STIGMER_SERVER_PORT",
        parse=parse_port,
        about="the port the server listens on",
        flag="--port",
    ),
    Option(
        name="allowed_hosts",
        variable="STIGMER_ALLOWED_HOSTS",
        parse=parse_hosts,
        about="comma-separated names under which the server also answers: NAME, or NAME:PORT",
    ),
    Option(
        name="listen",
        variable="STIGMER_LISTEN",
        parse=_listen,
        about="the address that `stigmer serve` listens on; any but 127.0.0.1 needs a token, and TLS or a proxy",
    ),
    Option(
        name="tls_cert_file",
        variable="STIGMER_TLS_CERT_FILE",
        parse=_file,
        about="the certificate that the server shows, with its chain (PEM); a changed file takes effect at once",
    ),
    Option(
        name="tls_key_file", variable="STIGMER_TLS_KEY_FILE", parse=_file, about="the key of that certificate (PEM)"
    ),
    Option(
        name="behind_proxy",
        variable="STIGMER_BEHIND_PROXY",
        parse=_switch,
        about="whether a proxy in front of the server terminates TLS for it",
    ),
    Option(
        name="server_ca_file",
        variable="STIGMER_SERVER_CA_FILE",
        parse=_file,
        about="the authority to trust for an https server (PEM); unset: those of the system",
    ),
    Option(
        name="temporal_address",
        variable="STIGMER_TEMPORAL_ADDRESS",
        parse=parse_address,
        about="a Temporal that runs elsewhere; unset: the stack runs its own",
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
        about="whether that Temporal uses TLS; unset: yes if one of its files is set",
    ),
    Option(
        name="temporal_ca_file",
        variable="STIGMER_TEMPORAL_CA_FILE",
        parse=_file,
        about="the authority to trust for that Temporal (PEM); unset: those of the system",
    ),
    Option(
        name="temporal_cert_file",
        variable="STIGMER_TEMPORAL_CERT_FILE",
        parse=_file,
        about="our certificate for a Temporal that wants one (mTLS, PEM); a changed file takes effect at once",
    ),
    Option(
        name="temporal_key_file",
        variable="STIGMER_TEMPORAL_KEY_FILE",
        parse=_file,
        about="the key of that certificate (PEM)",
    ),
    Option(
        name="temporal_server_name",
        variable="STIGMER_TEMPORAL_SERVER_NAME",
        parse=_text,
        about="the name in that Temporal's certificate, where it is not the one in its address",
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
        parse=parse_port,
        about="the port of the stack's own Temporal",
    ),
    Option(
        name="ui_port",
        variable="STIGMER_UI_PORT",
        parse=parse_port,
        about="the port of Temporal's own web UI behind the server's /ui; unset: random",
    ),
    Option(
        name="ui_address",
        variable="STIGMER_UI_ADDRESS",
        parse=parse_address,
        about="HOST:PORT of the web UI that the server shows under /ui; a stack's own Temporal: its own",
    ),
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
        parse=_Choice(SubmitPolicy),
        about="queue: accept while Temporal is away; fail-fast: refuse",
    ),
    Option(
        name="reconcile",
        variable="STIGMER_RECONCILE",
        parse=_Choice(ReconcileMode),
        about="auto: the server brings orphans back by itself; manual: only when asked",
    ),
    Option(
        name="token",
        variable="STIGMER_TOKEN",
        parse=_text,
        about="the bearer token; unset: the token file in the home",
        is_secret=True,
    ),
    Option(
        name="secrets_key_file",
        variable="STIGMER_SECRETS_KEY_FILE",
        parse=_file,
        about="the key that secrets are encrypted with; unset: secrets.key in the home, made by the first secret",
    ),
    Option(
        name="log_level", variable="STIGMER_LOG_LEVEL", parse=_Choice(LogLevel), about="the lowest level that is logged"
    ),
    Option(
        name="temporal_binary",
        variable="STIGMER_TEMPORAL_BINARY",
        parse=_text,
        about="the temporal binary to use in place of the one installed with Stigmer",
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
    Option(
        name="model_silent_for",
        variable="STIGMER_MODEL_SILENT_FOR",
        parse=_span(SPAN_MIN_S, SPAN_MAX_S),
        about="how long the runner waits for the next word of a model: 90s, 5m, 1h",
    ),
    Option(
        name="tool_silent_for",
        variable="STIGMER_TOOL_SILENT_FOR",
        parse=_span(SPAN_MIN_S, SPAN_MAX_S),
        about="how long the runner waits for the answer of a tool, and for its server to start: 30s, 2m, 1h",
    ),
    Option(
        name="model_retry_for",
        variable="STIGMER_MODEL_RETRY_FOR",
        parse=_span(0.0, RETRY_MAX_S),
        about="for how long a model that is busy or cannot be reached is asked again (90s, 15m, 2h); 0: not at all",
    ),
    Option(
        name="on_exhausted",
        variable="STIGMER_ON_EXHAUSTED",
        parse=_Choice(OnExhausted),
        about="what becomes of an execution whose retries or limits are used up: pause (until `resume`) or fail",
    ),
    Option(
        name="retention",
        variable="STIGMER_RETENTION",
        parse=_span(RETENTION_MIN_S, RETENTION_MAX_S),
        about="how long after it was accepted an execution that has ended is kept: 30d, 12w; without it, for ever",
    ),
    Option(
        name="event_retention",
        variable="STIGMER_EVENT_RETENTION",
        parse=_span(60.0, RETENTION_MAX_S),
        about="how long an event is kept after it came in: 24h, 7d; at most 100,000 events are",
    ),
    Option(
        name="workflow_tasks_max",
        variable="STIGMER_WORKFLOW_TASKS_MAX",
        parse=_count(1_000_000),
        about="how many tasks an execution of a workflow may begin for each day that it lives",
    ),
)
HOME_VARIABLE = "STIGMER_HOME"
SETTLED_VARIABLE = "STIGMER_SETTLED"
"""Set for the parts of a stack: their settings are settled, and `config.toml` is not read again at each restart."""

ADDRESSES = frozenset(
    {
        "server_port",
        "temporal_address",
        "temporal_namespace",
        "temporal_tls",
        "temporal_ca_file",
        "temporal_cert_file",
        "temporal_key_file",
        "temporal_server_name",
        "temporal_api_key_file",
        "temporal_port",
        "ui_port",
        "ui_address",
        "database_url",
    }
)
"""The options that say where a part of the stack is found, and how one is let in there.

Its commands and its other parts must mean the same, so that the value a stack was started with counts until another one
is given to `up` or `restart`.
"""

BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}
