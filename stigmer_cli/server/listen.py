"""Where the server listens, and what it wants for an address that other machines reach: a token, and TLS."""

import asyncio
import socket
import ssl
from pathlib import Path

import structlog

from stigmer_cli.clock import Clock
from stigmer_cli.credential import read_token
from stigmer_cli.errors import ConfigError, MachineError, reason_of
from stigmer_cli.settings import LOOPBACK, Settings
from stigmer_cli.tls.files import KeyPair, stamp_of

BACKLOG = 512
LOOK_EVERY_S = 1.0

log = structlog.get_logger()


def check_settings(settings: Settings) -> None:
    """Raise ConfigError where the server would be reached by others without a token, or in the clear."""
    if (settings.tls_cert_file is None) is not (settings.tls_key_file is None):
        given, missing = ("CERT", "KEY") if settings.tls_cert_file else ("KEY", "CERT")
        raise ConfigError(
            f"STIGMER_TLS_{given}_FILE is set and STIGMER_TLS_{missing}_FILE is not; a certificate goes with its key",
            hint="set both, or neither",
        )
    if settings.listen == LOOPBACK:
        return
    if settings.token is None and read_token(settings.home) is None:
        raise ConfigError(
            f"the server does not listen on {settings.listen} without a token that its callers know",
            hint="set STIGMER_TOKEN, the same for every server, runner and command",
        )
    if settings.tls_cert_file is None and not settings.behind_proxy:
        raise ConfigError(
            f"the server does not listen on {settings.listen} without TLS: others on the network could read the token",
            hint="set STIGMER_TLS_CERT_FILE and STIGMER_TLS_KEY_FILE, or, where a proxy in front of it speaks TLS,"
            " STIGMER_BEHIND_PROXY=true; see stigmer help networking",
        )


def url_of(settings: Settings) -> str:
    """The server's own URL, by the address it listens on."""
    scheme = "https" if settings.tls_cert_file else "http"
    host = f"[{settings.listen}]" if ":" in settings.listen else settings.listen
    return f"{scheme}://{host}:{settings.server_port}"


def open_listener(settings: Settings) -> socket.socket:
    """A socket that listens; raises MachineError where it cannot."""
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; without, each answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.listen, settings.server_port))
    except OSError as error:
        listener.close()
        raise MachineError(
            f"the server cannot listen on {settings.listen}:{settings.server_port}: {reason_of(error)}",
            hint="stop what listens there, or choose another port: STIGMER_SERVER_PORT, or stigmer up --port",
        ) from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class ServerTls:
    """The certificate that the server shows; files that change count for every connection from then on."""

    def __init__(self, pair: KeyPair, *, clock: Clock) -> None:
        """Read the files; raises ConfigError, naming them, where they cannot be used."""
        self._pair, self._clock = pair, clock
        self._stamp = stamp_of(pair.paths)
        self._current = _context(pair)
        self.context = _context(pair)
        # Called for every handshake, also for one that names no server.
        self.context.sni_callback = self._choose

    async def run(self) -> None:
        """Look for changed files for ever. A pair that cannot be used is told once, and the one of before stays."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.run_once)

    def run_once(self) -> None:
        """Take over the files if they have changed and are usable."""
        stamp = stamp_of(self._pair.paths)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._current = _context(self._pair)
        except ConfigError as error:
            log.warning("server_certificate_not_taken", cause=error.message, hint=error.hint)
            return
        log.info("server_certificate_taken", file=str(self._pair.cert))

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pair.load_into(context)
    return context


def load_tls(settings: Settings, *, clock: Clock) -> ServerTls | None:
    """The server's TLS; None where it speaks plain HTTP. Raises ConfigError where its files cannot be used."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    pair = KeyPair(
        cert=Path(settings.tls_cert_file),
        key=Path(settings.tls_key_file),
        cert_setting="STIGMER_TLS_CERT_FILE",
        key_setting="STIGMER_TLS_KEY_FILE",
    )
    return ServerTls(pair, clock=clock)
