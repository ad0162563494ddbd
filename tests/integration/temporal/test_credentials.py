"""A Temporal behind TLS that wants a key: read anew for each dial; a wrong one is told, and waited out."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from stigmer_cli.settings import Home, Settings
from stigmer_cli.temporal.connection import Connection, ConnectionState
from stigmer_cli.temporal.dial import SdkDialer, SdkSession, Session, read_api_key
from stigmer_cli.temporal.state import World
from stigmer_cli.temporal.target import LOOPBACK, Target, target_of
from tests.eventually import eventually
from tests.fakes_temporal import ERRORS, Weather
from tests.integration.temporal.conftest import connected
from tests.temporal_server import DevServer

QUICK = replace(LOOPBACK, misconfigured_every_s=0.2)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this process, the SDK's native side with it, trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


@asynccontextmanager
async def tls_in_front_of(server: DevServer, authority: trustme.CA) -> AsyncIterator[str]:
    """The address of a door that speaks TLS and passes everything on to `server`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("localhost").configure_cert(context)

    guests: set[asyncio.Task[None]] = set()

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guest = asyncio.current_task()
        assert guest is not None
        guests.add(guest)
        with suppress(OSError):  # somebody who does not trust us, or has gone
            async with _aborted(writer):
                await writer.start_tls(context)
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
                async with _aborted(inner_writer), asyncio.TaskGroup() as group:
                    group.create_task(_pump(reader, inner_writer))
                    group.create_task(_pump(inner_reader, writer))

    async with await asyncio.start_server(passed_on, "127.0.0.1", 0) as door:
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


async def reaches(connection: Connection, state: ConnectionState) -> str:
    """The cause with which `connection` stands at `state`, which it must reach soon."""
    await eventually(_is(lambda: connection.status().state is state), within_s=10)
    return connection.status().cause


def _is(look: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def looked() -> bool:
        return look()

    return looked


async def test_through_tls_temporal_is_connected_and_without_it_it_says_why(
    temporal: DevServer, authority: trustme.CA
) -> None:
    temporal.start()
    async with tls_in_front_of(temporal, authority) as address:
        async with connected(Target(address=address, is_tls=True)) as connection:
            assert await reaches(connection, ConnectionState.CONNECTED) == ""
        async with connected(Target(address=address)) as connection:
            assert await reaches(connection, ConnectionState.DISCONNECTED)


@pytest.mark.usefixtures("authority")
async def test_a_certificate_of_nobody_that_is_trusted_is_named(temporal: DevServer) -> None:
    temporal.start()
    async with (
        tls_in_front_of(temporal, trustme.CA()) as address,
        connected(Target(address=address, is_tls=True)) as connection,
    ):
        cause = await reaches(connection, ConnectionState.DISCONNECTED)
    assert cause == "its TLS certificate is not to be trusted"


class Doorkeeper(SdkDialer):
    """Dials the real Temporal, which asks nobody for a key, and refuses whoever's key was not `wanted`."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted

    async def dial(self, target: Target, *, identity: str) -> Session:
        session = await super().dial(target, identity=identity)
        assert isinstance(session, SdkSession)
        return _Watched(session, self, read_api_key(target) or "")


class _Watched:
    def __init__(self, session: SdkSession, keeper: Doorkeeper, key: str) -> None:
        self.client = session.client
        self._session, self._keeper, self._key = session, keeper, key

    async def probe(self) -> World:
        if self._key != self._keeper.wanted:
            raise ERRORS[Weather.DENIED]
        return await self._session.probe()


async def test_t14_an_expired_key_is_told_and_a_rotated_one_counts_without_a_restart(
    temporal: DevServer, tmp_path: Path
) -> None:
    temporal.start()
    key_file = tmp_path / "key"
    target = Target(address=temporal.address, api_key_file=key_file)
    keeper = Doorkeeper(wanted="first")
    async with connected(target, dialer=keeper, pace=QUICK) as connection:
        assert "cannot be read" in await reaches(connection, ConnectionState.MISCONFIGURED)
        key_file.write_text("\n")
        await eventually(_is(lambda: "is empty" in connection.status().cause), within_s=5)
        key_file.write_text("first\n")
        assert await reaches(connection, ConnectionState.CONNECTED) == ""
        keeper.wanted = "second"
        assert await reaches(connection, ConnectionState.MISCONFIGURED) == "permission denied"
        key_file.write_text("second\n")
        assert await reaches(connection, ConnectionState.CONNECTED) == ""


def settings(**given: object) -> Settings:
    return Settings(home=Home(path=Path("/nowhere")), **given)  # type: ignore[arg-type]


def test_a_key_means_tls_unless_somebody_says_otherwise() -> None:
    far = settings(temporal_address="temporal.example:7233", temporal_api_key_file="/run/key")
    assert target_of(far) == Target(address="temporal.example:7233", is_tls=True, api_key_file=Path("/run/key"))
    assert not target_of(replace(far, temporal_tls=False)).is_tls
    assert target_of(settings(temporal_address="temporal.example:7233", temporal_tls=True)).is_tls


def test_our_own_temporal_gets_neither() -> None:
    assert target_of(settings(temporal_api_key_file="/run/key", temporal_tls=True)) == Target(
        address="127.0.0.1:7233", is_own=True
    )
