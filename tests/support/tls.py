"""Certificates made for a test, and a door in front of a real server that speaks TLS for it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

PAST = datetime.now(UTC) - timedelta(days=2)
FUTURE = datetime.now(UTC) + timedelta(days=2)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The files of a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority with its files in `folder`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder, self._ca = folder, trustme.CA()
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(
        self,
        name: str,
        *hosts: str,
        begins: datetime | None = None,
        ends: datetime | None = None,
        key_type: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> Pair:
        """A certificate for `hosts` in the files NAME.pem and NAME.key, which are replaced if they are there."""
        made = self._ca.issue_cert(*hosts, not_before=begins, not_after=ends, key_type=key_type)
        pair = Pair(cert=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        pair.cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(str(pair.key))
        return pair

    def trusts_callers_of(self, context: ssl.SSLContext) -> None:
        """Have a server's `context` want certificates of this authority (mTLS)."""
        self._ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED


def door_context(pair: Pair, *, callers: Authority | None = None) -> ssl.SSLContext:
    """What a door shows, and of whom it wants a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.load_cert_chain(pair.cert, pair.key)
    if callers is not None:
        callers.trusts_callers_of(context)
    return context


@asynccontextmanager
async def tls_in_front_of(port: int, context: ssl.SSLContext, *, at: int = 0) -> AsyncIterator[str]:
    """The address of a door that speaks TLS and passes everything on to `port` of this machine."""
    guests: set[asyncio.Task[None]] = set()

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guest = asyncio.current_task()
        assert guest is not None
        guests.add(guest)
        # somebody who does not trust us, or has gone; or the end of the test
        with suppress(OSError, asyncio.CancelledError):
            async with _aborted(writer):
                await writer.start_tls(context)
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
                async with _aborted(inner_writer), asyncio.TaskGroup() as group:
                    group.create_task(_pump(reader, inner_writer))
                    group.create_task(_pump(inner_reader, writer))

    async with await asyncio.start_server(passed_on, "127.0.0.1", at) as door:
        yield f"localhost:{door.sockets[0].getsockname()[1]}"
        door.close()
        for guest in guests:
            guest.cancel()
        await asyncio.gather(*guests, return_exceptions=True)


@asynccontextmanager
async def _aborted(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Nothing of the connection is left after the block: no handshake half done, no farewell waited for."""
    try:
        yield
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)  # in which it closes; `wait_closed` is never told so where a handshake broke off


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()
