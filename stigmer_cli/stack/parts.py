"""The three processes of the local stack, as specs for the supervisor."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from stigmer_cli.clock import Clock, iso
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Settings
from stigmer_cli.stack.endpoints_file import Endpoints, read_endpoints
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.supervisor.spec import ChildSpec, Liveness, SourceFilter, SupervisorSpec
from stigmer_cli.temporal.dev_server import UI_PATH, HttpEndpoints, dev_server_argv, find_binary, prepare_file

SUPERVISOR, TEMPORAL, SERVER, RUNNER = "supervisor", "temporal", "server", "runner"
IMPORTED = "part_imported"
"""The event that server and runner log once their modules are imported."""

NAMES = (SUPERVISOR, TEMPORAL, SERVER, RUNNER)
LOOPBACK = "127.0.0.1"
BACKUPS = "backups"

RUNNER_GRACE_S, SERVER_GRACE_S, TEMPORAL_GRACE_S = 4.5, 2.5, 2.0
"""In this order, one after the other: a runner that drains still reports to a server that still has its Temporal.

Their sum leaves a second and a half of the ten that `down` may take.
"""

ASK_HTTP = "GET /livez HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
ASK_GRPC = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""The connection preface and an empty SETTINGS frame (RFC 9113, 3.4); a server that lives answers with its own."""


FOREIGN = ("TEMPORAL_", "OTEL_", "GOMEMLIMIT", "GOGC")
"""How names of variables begin that are not for the dev server of a stack."""

PLAIN_TCP = "multipathtcp=0"
"""Go listens with Multipath TCP by default, on whose sockets the kernel takes no filter (EOPNOTSUPP)."""


class PartsBuilder(Protocol):
    """Makes the specs of the parts."""

    def __call__(self, settings: Settings, options: StackOptions, environ: Mapping[str, str]) -> tuple[ChildSpec, ...]:
        """The specs, with the machine made ready for them; raises MachineError where it is not."""


def build_parts(settings: Settings, options: StackOptions, environ: Mapping[str, str]) -> tuple[ChildSpec, ...]:
    """Temporal (unless somebody else runs it), server and runner; copies Temporal's file before an upgrade.

    Raises MachineError where there is no temporal binary, or the copy cannot be written.
    """
    http_endpoints = _http_endpoints(settings, options)
    if settings.runs_own_temporal:
        settings = replace(settings, ui_address=http_endpoints.ui_address if http_endpoints else None)
    env = {**settings.environment_in(environ), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    ours = (
        _ourselves(settings, env, name=SERVER, command="serve"),
        _ourselves(settings, env, name=RUNNER, command="work"),
    )
    wanted = tuple(part for part in ours if not options.only or part.name in options.only)
    has_temporal = settings.runs_own_temporal and (not options.only or TEMPORAL in options.only)
    return (_temporal(settings, options, env, http_endpoints), *wanted) if has_temporal else wanted


def supervisor_spec(settings: Settings, children: tuple[ChildSpec, ...]) -> SupervisorSpec:
    """The whole stack."""
    home = settings.home
    return SupervisorSpec(folder=home.run, log=home.logs / f"{SUPERVISOR}.log", children=children)


def check_local(settings: Settings) -> None:
    """Raise ConfigError where `settings` are for a server that other machines reach: a stack is for this one only."""
    if settings.listen != LOOPBACK or settings.tls_cert_file or settings.behind_proxy:
        raise ConfigError(
            "stigmer up starts a stack for this machine only: its server listens on 127.0.0.1 without TLS",
            hint="stigmer serve and stigmer work are for several machines; for up, unset STIGMER_LISTEN,"
            " STIGMER_TLS_CERT_FILE and STIGMER_BEHIND_PROXY",
        )


def local(settings: Settings) -> Settings:
    """`settings` for the parts of a stack: they talk to the server that the stack runs, whatever commands talk to."""
    return replace(settings, server_url=f"http://{LOOPBACK}:{settings.server_port}", insecure_http=False)


def endpoints_of(settings: Settings, options: StackOptions, clock: Clock) -> Endpoints:
    """Where the parts will listen."""
    own = settings.runs_own_temporal
    http_endpoints = _http_endpoints(settings, options) if own else None
    ui_address = settings.ui_address if http_endpoints is None else http_endpoints.ui_address
    return Endpoints(
        server_url=local(settings).server_target,
        temporal_address=settings.temporal_target,
        ui_url=f"{local(settings).server_target}{UI_PATH}" if ui_address else None,
        namespace=settings.temporal_namespace,
        ephemeral=options.ephemeral and own,
        started_at=iso(clock.now()),
        server_port=settings.server_port,
        temporal_port=settings.temporal_port if own else None,
        ui_port=http_endpoints.ui_port if http_endpoints else None,
        ui_source=http_endpoints.source if http_endpoints else None,
        http_port=http_endpoints.http_port if http_endpoints else None,
        metrics_port=http_endpoints.metrics_port if http_endpoints else None,
    )


def _http_endpoints(settings: Settings, options: StackOptions) -> HttpEndpoints | None:
    recorded = read_endpoints(settings.home) if options.http_endpoints is None else None
    return recorded.http_endpoints if recorded else options.http_endpoints


def _temporal(
    settings: Settings, options: StackOptions, env: Mapping[str, str], http_endpoints: HttpEndpoints | None
) -> ChildSpec:
    home = settings.home
    binary = find_binary(settings.temporal_binary)
    file = None if options.ephemeral else home.temporal_file
    own = _temporal_environment(env, home.data)
    if file is not None and not options.only:  # else it may be open
        prepare_file(file, binary, home.data / BACKUPS, own)
    argv = dev_server_argv(
        binary=binary,
        port=settings.temporal_port,
        # From its working directory on: it makes a URI of the name, in which `?` and `%` of a path mean something else.
        file=Path(file.name) if file else None,
        namespace=settings.temporal_namespace,
        http_endpoints=http_endpoints,
    )
    closed = (
        SourceFilter(ports=http_endpoints.ports, source=http_endpoints.source)
        if http_endpoints and http_endpoints.source
        else None
    )
    return ChildSpec(
        name=TEMPORAL,
        argv=tuple(argv),
        env=own,
        cwd=home.data,
        log=home.logs / f"{TEMPORAL}.log",
        stop_order=2,
        stop_grace_s=TEMPORAL_GRACE_S,
        liveness=Liveness(host=LOOPBACK, port=settings.temporal_port, question=ASK_GRPC),
        source_filter=closed,
    )


def _temporal_environment(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`env` for a dev server, with what Go asks of every process.

    Left out are the settings of Temporal's command line, and what a shell has for other programs of Go: a limit of
    memory that Go cannot read, or an exporter of traces that Temporal does not have, ends it at its start.

    Go takes the name and the home directory of a user whom the system has no entry for from USER and HOME, and the
    server does not start without them (os/user, "Current requires cgo or $USER, $HOME set in environment").
    """
    own = {name: value for name, value in env.items() if not name.startswith(FOREIGN)}
    go = {"GODEBUG": ",".join(filter(None, (env.get("GODEBUG"), PLAIN_TCP)))}
    return {"USER": str(os.getuid()), "HOME": str(folder), **own, **go}


def _ourselves(settings: Settings, env: Mapping[str, str], *, name: str, command: str) -> ChildSpec:
    is_server = name == SERVER
    return ChildSpec(
        name=name,
        # -P: what lies in the working folder is never imported.
        argv=(sys.executable, "-P", "-m", "stigmer_cli.cli", command),
        env=env,
        cwd=settings.home.path,
        log=settings.home.logs / f"{name}.log",
        stop_order=1 if is_server else 0,
        stop_grace_s=SERVER_GRACE_S if is_server else RUNNER_GRACE_S,
        liveness=_liveness_of_server(settings.server_port) if is_server else None,
    )


def _liveness_of_server(port: int) -> Liveness:
    return Liveness(host=LOOPBACK, port=port, question=ASK_HTTP.format(host=LOOPBACK, port=port))
