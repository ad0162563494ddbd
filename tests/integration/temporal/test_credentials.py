"""A Temporal that wants a key: read anew for each dial; a wrong one is told, and waited out."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.settings import Home, Settings
from stigmer_cli.temporal.connection import Connection
from stigmer_cli.temporal.dial import SdkDialer, SdkSession, Session, read_api_key
from stigmer_cli.temporal.state import ClusterIdentity
from stigmer_cli.temporal.target import LOOPBACK, Target, target_of
from tests.integration.temporal.conftest import connected
from tests.support.fakes_temporal import ERRORS, Condition
from tests.support.polling import eventually
from tests.support.temporal_server import DevServer

QUICK = replace(LOOPBACK, misconfigured_every_s=0.2)


async def reaches(connection: Connection, state: ConnectionState) -> str:
    """The cause with which `connection` stands at `state`, which it must reach soon."""
    await eventually(_is(lambda: connection.status().state is state), within_s=10)
    return connection.status().cause


def _is(look: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def looked() -> bool:
        return look()

    return looked


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

    async def probe(self) -> ClusterIdentity:
        if self._key != self._keeper.wanted:
            raise ERRORS[Condition.DENIED]
        return await self._session.probe()


async def test_t14_an_expired_key_is_reported_and_a_rotated_one_works_without_a_restart(
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
