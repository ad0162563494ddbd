"""A real Temporal behind TLS: each way in which the two ends do not agree is told, and rotated files count."""

import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SystemClock
from stigmer_cli.errors import ConfigError
from stigmer_cli.settings import Home, Settings
from stigmer_cli.temporal.connection import Connection
from stigmer_cli.temporal.target import LOOPBACK, SYSTEM_TRUST, Target, target_of
from stigmer_cli.time_format import day_and_time
from stigmer_cli.tls.files import KeyPair
from stigmer_cli.tls.handshake import why_not
from stigmer_cli.tls.peers import server_peer, temporal_peer
from stigmer_cli.tls.trust import Trust
from tests.integration.temporal.conftest import connected
from tests.support.polling import eventually
from tests.support.temporal_server import DevServer
from tests.support.tls import FUTURE, PAST, Authority, Pair, door_context, tls_in_front_of

CONNECTED, MISCONFIGURED = ConnectionState.CONNECTED, ConnectionState.MISCONFIGURED
QUICK = replace(LOOPBACK, probe_every_s=0.2)
LONG_AGO = PAST - timedelta(days=9)


@dataclass
class TlsSetup:
    """A Temporal, two authorities, and the folder in which their files lie."""

    temporal: DevServer
    folder: Path
    ours: Authority
    callers: Authority

    def door(self, pair: Pair, *, wants: Authority | None = None) -> AbstractAsyncContextManager[str]:
        return tls_in_front_of(self.temporal.port, door_context(pair, callers=wants))


@pytest.fixture
def tls(temporal: DevServer, tmp_path: Path) -> TlsSetup:
    temporal.start()
    return TlsSetup(temporal, tmp_path, Authority(tmp_path), Authority(tmp_path, "callers"))


def trust(ca: Path | None = None, pair: Pair | None = None, name: str | None = None) -> Trust:
    shown = None
    if pair is not None:
        shown = KeyPair(
            cert=pair.cert,
            key=pair.key,
            cert_setting="STIGMER_TEMPORAL_CERT_FILE",
            key_setting="STIGMER_TEMPORAL_KEY_FILE",
        )
    return replace(SYSTEM_TRUST, ca=ca, pair=shown, server_name=name)


async def reaches(connection: Connection, state: ConnectionState) -> str:
    """The cause with which `connection` stands at `state`, which it must reach soon."""
    await eventually(_is(lambda: connection.status().state is state), within_s=20)
    return connection.status().cause


def _is(look: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def looked() -> bool:
        return look()

    return looked


async def told(address: str, believed: Trust | None) -> str:
    """Why the connection does not come about; empty where it does."""
    target = Target(address=address, is_tls=believed is not None, trust=believed or SYSTEM_TRUST)
    async with connected(target, pace=QUICK) as connection:

        def is_told() -> bool:
            """A machine that is out of breath may leave no time for the second look; the next dial has another."""
            status = connection.status()
            return status.state in (CONNECTED, MISCONFIGURED) or status.cause == "connection refused"

        await eventually(_is(is_told), within_s=20)
        return connection.status().cause


async def test_a_private_authority_is_trusted_by_its_file(tls: TlsSetup) -> None:
    async with tls.door(tls.ours.issue("server", "localhost")) as address:
        assert await told(address, trust(tls.ours.file)) == ""


async def test_another_authority_is_named_with_the_setting(tls: TlsSetup) -> None:
    async with tls.door(tls.ours.issue("server", "localhost")) as address:
        wrong = await told(address, trust(tls.callers.file))
        none = await told(address, trust())
    sentence = (
        "its certificate is signed by an authority that is not trusted here: set STIGMER_TEMPORAL_CA_FILE to the file"
        " of its authority (today {})"
    )
    assert wrong == sentence.format(tls.callers.file)
    assert none == sentence.format("those of the system")


async def test_a_certificate_outside_its_validity_is_reported_with_the_time(tls: TlsSetup) -> None:
    async with tls.door(tls.ours.issue("old", "localhost", begins=LONG_AGO, ends=PAST)) as address:
        expired = await told(address, trust(tls.ours.file))
    async with tls.door(tls.ours.issue("new", "localhost", begins=FUTURE)) as address:
        early = await told(address, trust(tls.ours.file))
    assert expired == f"its certificate expired at {day_and_time(PAST)}: its operator must renew it"
    assert early.startswith(f"its certificate is not valid before {day_and_time(FUTURE)}, and here it is")


async def test_a_certificate_for_another_name_wants_that_name(tls: TlsSetup) -> None:
    async with tls.door(tls.ours.issue("server", "temporal.internal")) as address:
        assert await told(address, trust(tls.ours.file)) == (
            "its certificate is not for the name 'localhost': use a name that it is for in the address, or set"
            " STIGMER_TEMPORAL_SERVER_NAME to one"
        )
        assert await told(address, trust(tls.ours.file, name="temporal.internal")) == ""


async def test_plain_to_tls_and_tls_to_plain_are_distinguished(tls: TlsSetup) -> None:
    async with tls.door(tls.ours.issue("server", "localhost")) as address:
        assert await told(address, None) == (
            "it expects TLS, and the connection was made without it: set STIGMER_TEMPORAL_TLS=true"
        )
    assert await told(tls.temporal.address, trust(tls.ours.file)) == (
        "it does not speak TLS: set STIGMER_TEMPORAL_TLS=false, and name no files for TLS"
    )


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_temporal_that_wants_a_certificate_is_shown_one_or_says_why_not(
    tls: TlsSetup, version: ssl.TLSVersion
) -> None:
    context = door_context(tls.ours.issue("server", "localhost"), callers=tls.callers)
    context.maximum_version = version
    ours, strange = tls.callers.issue("me", "me"), tls.ours.issue("stranger", "me")
    old = tls.callers.issue("old", "me", begins=LONG_AGO, ends=PAST)
    async with tls_in_front_of(tls.temporal.port, context) as address:
        assert await told(address, trust(tls.ours.file, ours)) == ""
        assert "set STIGMER_TEMPORAL_CERT_FILE and STIGMER_TEMPORAL_KEY_FILE" in await told(
            address, trust(tls.ours.file)
        )
        assert f"our certificate {old.cert} expired at {PAST.astimezone():%Y-%m-%d %H:%M}" in await told(
            address, trust(tls.ours.file, old)
        )
        assert "is valid, so it may be of an authority that is not trusted there" in await told(
            address, trust(tls.ours.file, strange)
        )


async def test_each_fault_of_a_file_has_its_own_sentence(tls: TlsSetup) -> None:
    server, me = tls.ours.issue("server", "localhost"), tls.callers.issue("me", "me")
    gone, nonsense = tls.folder / "gone", tls.folder / "nonsense"
    nonsense.write_text("nonsense")
    async with tls.door(server, wants=tls.callers) as address:

        async def why(ca: Path, cert: Path, key: Path) -> str:
            return await told(address, trust(ca, Pair(cert=cert, key=key)))

        ca = tls.ours.file
        assert (await why(gone, me.cert, me.key)).startswith(
            f"STIGMER_TEMPORAL_CA_FILE: {gone} cannot be read: No such"
        )
        assert await why(nonsense, me.cert, me.key) == (
            f"STIGMER_TEMPORAL_CA_FILE: {nonsense} holds no certificate of an authority"
        )
        assert (await why(ca, gone, me.key)).startswith(f"STIGMER_TEMPORAL_CERT_FILE: {gone} cannot be read")
        assert (await why(ca, me.cert, gone)).startswith(f"STIGMER_TEMPORAL_KEY_FILE: {gone} cannot be read")
        assert f"{nonsense} holds no private key" in await why(ca, me.cert, nonsense)
        assert f"the key in {server.key} is not the key of the certificate in {me.cert}" in await why(
            ca, me.cert, server.key
        )


def first_version(folder: Path) -> Pair:
    """A certificate as OpenSSL makes one where no extension is asked for."""
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout old-ca.key -out old-ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=me -keyout v1.key -out v1.csr",
        "x509 -req -in v1.csr -CA old-ca.pem -CAkey old-ca.key -days 1 -out v1.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return Pair(cert=folder / "v1.pem", key=folder / "v1.key")


async def test_an_x509_version_1_certificate_is_reported_because_the_sdk_accepts_none(tls: TlsSetup) -> None:
    async with tls.door(tls.ours.issue("server", "localhost")) as address:
        assert "it is of X.509 version 1" in await told(address, trust(tls.ours.file, first_version(tls.folder)))


async def test_a_port_that_nobody_listens_on_is_no_matter_of_tls(tls: TlsSetup) -> None:
    tls.temporal.kill()
    assert await told(tls.temporal.address, trust(tls.ours.file)) == "connection refused"


async def test_a_name_that_nobody_has_is_no_matter_of_tls(tls: TlsSetup) -> None:
    believed = trust(tls.ours.file)
    for peer in (server_peer("https://nosuch.invalid"), temporal_peer("nosuch.invalid:7233")):
        assert await why_not(peer, believed, clock=SystemClock()) == ""


async def test_files_that_were_missing_count_as_soon_as_they_are_there(tls: TlsSetup) -> None:
    async with tls.door(tls.ours.issue("server", "localhost"), wants=tls.callers) as address:
        pair = Pair(cert=tls.folder / "me.pem", key=tls.folder / "me.key")
        target = Target(address=address, is_tls=True, trust=trust(tls.ours.file, pair))
        patient = replace(QUICK, misconfigured_every_s=60.0)
        async with connected(target, pace=patient) as connection:
            assert "cannot be read" in await reaches(connection, MISCONFIGURED)
            began = time.monotonic()
            tls.callers.issue("me", "me")
            await reaches(connection, CONNECTED)
            assert time.monotonic() - began < 30, "it does not wait for the next try of a minute later"


async def test_a_rotated_certificate_is_shown_within_seconds_and_half_a_rotation_does_no_harm(tls: TlsSetup) -> None:
    me = tls.callers.issue("me", "me")
    async with tls.door(tls.ours.issue("server", "localhost"), wants=tls.callers) as address:
        target = Target(address=address, is_tls=True, trust=trust(tls.ours.file, me))
        async with connected(target, pace=QUICK) as connection:
            await reaches(connection, CONNECTED)
            first, moves = connection.client(), connection.changes
            me.key.write_text("half a rotation")
            await eventually(_is(lambda: connection._stamp == target.stamp()), within_s=20)
            assert connection.client() is first
            tls.callers.issue("me", "me")
            await eventually(_is(lambda: connection.client() is not first), within_s=20)
            assert connection.status().state is CONNECTED
            assert connection.changes == moves, "nobody was disconnected meanwhile"


def settings(**given: object) -> Settings:
    return Settings(home=Home(path=Path("/nowhere")), temporal_address="temporal.example:7233", **given)  # type: ignore[arg-type]


def test_each_of_the_files_means_tls_and_a_certificate_goes_with_its_key() -> None:
    assert not target_of(settings()).is_tls
    assert target_of(settings(temporal_ca_file="/run/ca.pem")).is_tls
    assert target_of(settings(temporal_server_name="temporal.internal")).is_tls
    assert not target_of(settings(temporal_ca_file="/run/ca.pem", temporal_tls=False)).is_tls
    pair = target_of(settings(temporal_cert_file="/run/cert.pem", temporal_key_file="/run/key.pem")).trust.pair
    assert pair is not None
    assert pair.paths == (Path("/run/cert.pem"), Path("/run/key.pem"))
    with pytest.raises(ConfigError, match="STIGMER_TEMPORAL_CERT_FILE is set and STIGMER_TEMPORAL_KEY_FILE is not"):
        target_of(settings(temporal_cert_file="/run/cert.pem"))
    with pytest.raises(ConfigError, match="STIGMER_TEMPORAL_KEY_FILE is set and STIGMER_TEMPORAL_CERT_FILE is not"):
        target_of(settings(temporal_key_file="/run/key.pem"))
