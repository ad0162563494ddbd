"""Asks the server for values while somebody waits for the completion of a word: in little time, or not at all.

Plain sockets, because httpx and the client take longer to import than everything else together.
"""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stigmer_cli.cli.context import Cli
from stigmer_cli.credential import read_token
from stigmer_cli.server_proof import ANSWER_MAX, Challenge, TokenRule, address_of, may_send_token, prove

if TYPE_CHECKING:
    from stigmer_cli.settings import Settings

LIVE_MAX_S = 0.15
"""For settings, connection, proof and answer. The interpreter and the commands take about 0.1 s before it."""

PORTS = {"http": 80, "https": 443}
ANSWER_BYTES_MAX = 8 * 1024 * 1024


class _TooLate(BaseException):
    """The time is up; no Exception, so that no handler in between takes it for its own."""


def fetch(cli: Cli, path: str) -> dict[str, Any] | None:
    """The JSON object that the server answers `GET path` with, and its time as `now`; None if it does not in time."""
    try:
        with _deadline(LIVE_MAX_S):
            return _fetch(cli.load_settings(is_look=True), path)
    except (_TooLate, Exception):  # noqa: BLE001 - whatever is wrong, the person sees no values
        return None


@contextmanager
def _deadline(within_s: float) -> Iterator[None]:
    """Raise _TooLate in the block after `within_s`, whatever it waits for: a name server, too, or a file system."""

    def stop(_number: int, _frame: object) -> None:
        raise _TooLate

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, within_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _fetch(settings: "Settings", path: str) -> dict[str, Any] | None:
    parts = urlsplit(settings.server_target)
    token = None if settings.distrust else settings.token or read_token(settings.home)
    rule = may_send_token(settings.server_target, is_insecure_allowed=settings.is_insecure_allowed)
    if token is None or rule is TokenRule.NEVER or parts.hostname is None:
        return None
    with socket.create_connection((parts.hostname, parts.port or PORTS[parts.scheme])) as connection:
        host = parts.netloc.rpartition("@")[2]
        if rule is TokenRule.AFTER_PROOF:
            _prove(connection, host, token)
        elif rule is TokenRule.OVER_TLS:
            connection = _wrap(connection, parts.hostname, settings.server_ca_file)  # noqa: PLW2901
        return _get(connection, host, path, token)


def _prove(connection: socket.socket, host: str, token: str) -> None:
    """Return once the server has proven that it holds the token. The coroutine never waits: the socket does."""

    async def read() -> bytes:
        return connection.recv(ANSWER_MAX)

    async def write(data: bytes) -> None:
        connection.sendall(data)

    challenge = Challenge(host=host, address=address_of(connection.getpeername()))
    try:
        prove(challenge, read, write, lambda: token).send(None)
    except StopIteration:
        return


def _wrap(connection: socket.socket, name: str, ca_file: str | None) -> socket.socket:
    import ssl  # noqa: PLC0415 - only for a server on another machine

    return ssl.create_default_context(cafile=ca_file).wrap_socket(connection, server_hostname=name)


def _get(connection: socket.socket, host: str, path: str, token: str) -> dict[str, Any] | None:
    """The answer to one request of HTTP/1.0 (RFC 1945), whose body ends with the connection."""
    request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode("ascii"))
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    if status.split()[1] != "200":
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    found = json.loads(body)
    return {**found, "now": headers.get("stigmer-now")} if isinstance(found, dict) else None
