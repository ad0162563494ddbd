"""Probes the supervisor, the server, Temporal's endpoint and the store's file, each within its deadline."""

import asyncio
import importlib
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import Clock, ahead_s
from stigmer_cli.credential import read_token
from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.database_url import sqlite_file
from stigmer_cli.doctor.facts.facts import EndpointSeen, HttpEndpoint, ServerSeen, StoreSeen, TemporalSeen
from stigmer_cli.doctor.facts.web_page_access import is_http
from stigmer_cli.domain.identity import StoreId
from stigmer_cli.errors import ConfigError, MachineError, ServerBusy, ServerUnproven, TokenKept, reason_of
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.lean_imports import GRPC, PRETTY_PRINTERS, hidden
from stigmer_cli.proxies import PORTS
from stigmer_cli.settings import Settings
from stigmer_cli.stack.endpoints_file import Endpoints
from stigmer_cli.stack.parts import ASK_GRPC, BACKUPS, TEMPORAL
from stigmer_cli.stack.port_holders import find_parts_missing_ports
from stigmer_cli.stack.ports import owner_of
from stigmer_cli.stack.server_probe import FOREIGN, OK, UNAUTHORIZED, UNAVAILABLE, cause_of, get_json
from stigmer_cli.stack.standstill import find_stalled_processes
from stigmer_cli.stack.status import SupervisorObservation, ask_supervisor
from stigmer_cli.store_record import recorded_store
from stigmer_cli.temporal.target import Target
from stigmer_cli.time_format import span

ANSWER_S = 0.7
CONNECT_S = 0.5
PREFACE_S = 0.9
FRAME_HEAD, FRAME_TYPE_AT, FRAME_SETTINGS = 9, 3, 4
"""RFC 9113, 4.1 and 6.5: every frame begins with nine bytes, the fourth is its type."""

PROVIDER_S = 0.8
OPENAI_URL = "https://api.openai.com/v1"
HTTP_ASK_S = 0.3
HTTP_PATH = "/api/v1/namespaces"
IN_MAIN = "*** in database main ***"
HEADER = b"SQLite format 3\0"
CHECKED_BYTES_MAX = 32 * 1024 * 1024
"""Up to this size the whole file is read (about 0.1 s); a larger one would outlast the probe."""


def token_of(settings: Settings) -> str | None:
    """The token that commands send; None where there is none, or none that can be read and trusted."""
    if settings.distrust:
        return settings.token
    try:
        return settings.token or read_token(settings.home)
    except MachineError:
        return None


async def probe_supervisor(settings: Settings, found: Endpoints | None, *, clock: Clock) -> SupervisorObservation:
    """What the supervisor says, with the ports that its parts do not hold and the parts that stand still."""
    seen = await ask_supervisor(settings.home, within_s=ANSWER_S, clock=clock)
    record = seen.record
    if not seen.is_answering or record is None:
        return seen
    lacking = await in_thread(lambda: find_parts_missing_ports(record, found)) if found else {}
    return replace(seen, parts_missing_ports=lacking, still=await find_stalled_processes(record, settings.home.run))


async def probe_server(url: str, settings: Settings, *, clock: Clock, waits_for: Sequence[int] = ()) -> ServerSeen:
    """The server's health, or why it cannot be had; `waits_for` is its process, where that is one of this machine."""
    asked_at = clock.now()
    answer = await _health_of(url, settings, waits_for)
    answered_at = clock.now()
    if isinstance(answer, ServerSeen):
        return answer
    status, body = answer
    if status == UNAUTHORIZED:
        return ServerSeen(url=url, why="it refuses the token of this command")
    if status == UNAVAILABLE and isinstance(body.get("detail"), str):
        return ServerSeen(url=url, why=str(body["detail"]))
    await load_module("stigmer_cli.api.health")
    from stigmer_cli.api.health import Health  # noqa: PLC0415 - loaded just now

    try:
        health = Health.model_validate(body) if status == OK else None
    except ValueError:
        health = None
    if health is None:
        return _not_a_server(url, status)
    return ServerSeen(url=url, health=health, ahead_s=_ahead_s(health.clock.now, asked_at, answered_at))


def _ahead_s(theirs: datetime | None, asked_at: datetime, answered_at: datetime) -> float | None:
    return None if theirs is None else ahead_s(theirs, asked_at=asked_at, answered_at=answered_at)


async def _health_of(
    url: str, settings: Settings, waits_for: Sequence[int]
) -> tuple[int, Mapping[str, object]] | ServerSeen:
    """Status and body of its health, or the observation where there is none."""
    try:
        async with FairTimeout(ANSWER_S, waits_for=waits_for):
            return await get_json(
                f"{url}/v1/health",
                token_of(settings),
                ca_file=settings.server_ca_file,
                is_insecure_allowed=settings.is_insecure_allowed,
            )
    except ServerUnproven as error:
        owner = await in_thread(lambda: owner_of(urlsplit(url).port or PORTS["http"]))
        return ServerSeen(url=url, why=error.message, stranger=owner)
    except TimeoutError:
        return ServerSeen(url=url, why=f"no answer within {span(ANSWER_S)}")
    except ServerBusy as error:
        return ServerSeen(url=url, why=error.message)
    except TokenKept as error:
        return ServerSeen(url=url, why=error.message, refusal=error.message)
    except (OSError, ValueError, ConfigError) as error:
        return ServerSeen(url=url, why=await cause_of(error, url, settings.server_ca_file))


async def probe_provider(settings: Settings) -> str:
    """Why the endpoint of openai: models, or the proxy before it, takes no connections; empty where it does."""
    url = settings.openai_base_url or OPENAI_URL
    proxy = settings.proxies.way_to(url)
    where = urlsplit(proxy.url if proxy else url)
    port = where.port or PORTS.get(where.scheme, PORTS["http"])
    try:
        async with FairTimeout(PROVIDER_S):
            _, writer = await asyncio.open_connection(where.hostname, port)
            writer.transport.abort()
    except OSError as error:
        why = _why_not_connected(error, within_s=PROVIDER_S)
    else:
        return ""
    on_the_way = f", the proxy that {proxy.variable} names," if proxy else ""
    return f"{where.hostname}:{port}{on_the_way} cannot be reached from here: {why}"


def _why_not_connected(error: OSError, *, within_s: float) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {span(within_s)}"
        case ConnectionRefusedError():
            return "connection refused"
        case _:
            return reason_of(error)


def _not_a_server(url: str, status: int) -> ServerSeen:
    return ServerSeen(url=url, why=f"{FOREIGN} (status {status})")


async def probe_endpoint(target: Target, *, waits_for: Sequence[int] = ()) -> EndpointSeen:
    """Whether `target` takes connections, and without TLS whether a gRPC server answers there."""
    address = target.address
    host, _, port = address.rpartition(":")
    why = silence = ""
    try:
        async with FairTimeout(CONNECT_S, waits_for=waits_for):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        silence = await _why_silent(reader, writer, is_tls=target.is_tls, waits_for=waits_for)
    except OSError as error:
        why = _why_not_connected(error, within_s=CONNECT_S)
    return EndpointSeen(address=address, namespace=target.namespace, is_own=target.is_own, why=why, silence=silence)


async def _why_silent(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_tls: bool, waits_for: Sequence[int]
) -> str:
    """Why the other end is no responsive gRPC server, which would answer HTTP/2's preface; empty where it is."""
    try:
        if is_tls:
            return ""
        writer.write(ASK_GRPC.encode("latin-1"))
        async with FairTimeout(PREFACE_S, waits_for=waits_for):
            head = await reader.readexactly(FRAME_HEAD)
    except TimeoutError:
        return f"no answer within {span(PREFACE_S)}; it is frozen, or far too slow"
    except (OSError, asyncio.IncompleteReadError):
        return "it closes the connection"
    finally:
        writer.transport.abort()
    return "" if head[FRAME_TYPE_AT] == FRAME_SETTINGS else "what listens there is no Temporal"


async def load_module(module: str) -> None:
    """Import `module` in a thread: it takes up to a third of a second, in which the other probes go on."""
    await in_thread(lambda: importlib.import_module(module))


async def probe_temporal(
    endpoint: EndpointSeen, target: Target, store: StoreId | None, clock: Clock, *, waits_for: Sequence[int] = ()
) -> TemporalSeen:
    """Temporal as this process reaches it, and who polls for `store`.

    Loads the SDK first, which takes a third of a second. Does not dial where `endpoint` failed: an abandoned dial
    cannot be cancelled.
    """
    if endpoint.why or endpoint.silence:
        return TemporalSeen(state=ConnectionState.DISCONNECTED, cause=endpoint.why or endpoint.silence)
    await in_thread(_load_temporal_probe)
    from stigmer_cli.doctor.facts.temporal_probe import dial_temporal  # noqa: PLC0415 - loaded just now
    from stigmer_cli.log import silence  # noqa: PLC0415 - loaded with it

    silence()
    return await dial_temporal(target, store, clock=clock, waits_for=waits_for)


def _load_temporal_probe() -> None:
    with hidden([*PRETTY_PRINTERS, *GRPC]):
        importlib.import_module("stigmer_cli.doctor.facts.temporal_probe")


async def probe_http_endpoints(pid: int, found: Endpoints | None) -> tuple[HttpEndpoint, ...]:
    """The ports on which process `pid` answers HTTP, except its intended ones, and the status of each answer."""
    known = set(found.ports[TEMPORAL]) if found else set()
    ports = await in_thread(lambda: _find_listening_ports(pid)) - known
    answers: dict[int, int] = {}

    async def ask(port: int) -> None:
        if not await is_http("127.0.0.1", port, pid=pid):
            return
        try:
            async with FairTimeout(HTTP_ASK_S, waits_for=(pid,)):
                answers[port] = (await get_json(f"http://127.0.0.1:{port}{HTTP_PATH}", None))[0]
        except (TimeoutError, OSError, ValueError):
            return  # not HTTP, or not JSON: no API

    async with asyncio.TaskGroup() as group:
        for port in ports:
            group.create_task(ask(port), name=f"http {port}")
    return tuple(HttpEndpoint(port=port, status=status) for port, status in sorted(answers.items()))


def _find_listening_ports(pid: int) -> set[int]:
    import psutil  # noqa: PLC0415 - only here

    try:
        ends = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return set()
    return {end.laddr.port for end in ends if end.status == psutil.CONN_LISTEN}


def probe_store(settings: Settings) -> StoreSeen:
    """The SQLite file, opened read-only."""
    path = sqlite_file(settings.database_url, settings.home)
    if path is None:
        return StoreSeen(path=None)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            has_header = file.read(len(HEADER)) == HEADER
    except FileNotFoundError:
        return StoreSeen(path=path, exists=False, recorded=recorded_store(settings))
    except OSError as error:
        return StoreSeen(path=path, why_unreadable=reason_of(error))
    wal = path.with_name(f"{path.name}-wal")
    is_small = size <= CHECKED_BYTES_MAX
    copies = sorted((path.parent / BACKUPS).glob(f"{path.name}*"), key=lambda one: one.stat().st_mtime)
    return StoreSeen(
        path=path,
        size=size,
        wal_size=wal.stat().st_size if wal.exists() else 0,
        has_header=has_header,
        integrity=_quick_check(path) if has_header and is_small else "",
        is_checked_whole=is_small,
        newest_copy=copies[-1] if copies else None,
        can_salvage=shutil.which("sqlite3") is not None,
    )


def _quick_check(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=0.3)) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            return " ".join(found.removeprefix(IN_MAIN).split())
    except sqlite3.OperationalError:
        return ""  # locked, or its shared memory cannot be made by a reader: that proves nothing
    except sqlite3.DatabaseError as error:
        return str(error)
