"""A server that other machines reach: what it wants first, who is let in, and certificates that change under it."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from stigmer_cli.client import Client
from stigmer_cli.errors import ConfigError, ServerUnavailable
from tests.support.polling import eventually
from tests.support.running_server import TOKEN, Served, served
from tests.support.temporal_server import free_port
from tests.support.tls import FUTURE, PAST, Authority

NOWHERE = "127.0.0.1:1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - it is refused
ELSEWHERE = {"STIGMER_LISTEN": "127.0.0.2", "STIGMER_BEHIND_PROXY": "true"}


def refused(tmp_path: Path, settings: Mapping[str, str]) -> tuple[int, str]:
    """How `stigmer serve` ends with these settings, and with which words."""
    environment = {**os.environ, "STIGMER_HOME": str(tmp_path), "STIGMER_SERVER_PORT": str(free_port()), **settings}
    done = subprocess.run(
        [sys.executable, "-m", "stigmer_cli.cli", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"STIGMER_LISTEN": EVERYWHERE}, "error: the server does not listen on 0.0.0.0 without a token"),
        ({"STIGMER_LISTEN": "::", "STIGMER_TOKEN": TOKEN}, "error: the server does not listen on :: without TLS"),
        ({"STIGMER_LISTEN": "127.0.0.2", "STIGMER_BEHIND_PROXY": "true"}, "hint: set STIGMER_TOKEN, the same for"),
        ({"STIGMER_TLS_CERT_FILE": "/nowhere"}, "error: STIGMER_TLS_CERT_FILE is set and STIGMER_TLS_KEY_FILE is not"),
        ({"STIGMER_TLS_KEY_FILE": "/nowhere"}, "error: STIGMER_TLS_KEY_FILE is set and STIGMER_TLS_CERT_FILE is not"),
    ],
)
def test_an_address_that_others_reach_wants_a_token_and_tls(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    code, words = refused(tmp_path, settings)
    assert code == 2
    assert sentence in words
    assert not (tmp_path / "token").exists(), "no token is made that nobody else knows"
    assert not (tmp_path / "data").exists(), "refused before anything is opened"


def test_each_fault_of_the_certificate_files_has_its_own_sentence(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.issue("one", "127.0.0.1"), authority.issue("other", "127.0.0.1")
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")

    def words(cert: Path, key: Path) -> str:
        code, told = refused(tmp_path, {"STIGMER_TLS_CERT_FILE": str(cert), "STIGMER_TLS_KEY_FILE": str(key)})
        assert code == 2
        return " ".join(told.split())

    assert f"STIGMER_TLS_CERT_FILE: {tmp_path}/gone cannot be read: No such file" in words(tmp_path / "gone", pair.key)
    assert f"STIGMER_TLS_KEY_FILE: {tmp_path}/gone cannot be read: No such file" in words(pair.cert, tmp_path / "gone")
    assert f"{nonsense} is not a certificate: no certificate in it" in words(nonsense, pair.key)
    assert f"{nonsense} holds no private key" in words(pair.cert, nonsense)
    assert f"the key in {other.key} is not the key of the certificate in {pair.cert}" in words(pair.cert, other.key)


async def test_a_remote_server_answers_under_its_own_address_and_under_configured_names(tmp_path: Path) -> None:
    settings = ELSEWHERE | {"STIGMER_ALLOWED_HOSTS": "stigmer.example"}
    async with served(tmp_path, NOWHERE, settings) as server, httpx.AsyncClient(base_url=server.url) as http:

        async def status(host: str) -> int:
            return (await http.get("/livez", headers={"Host": host})).status_code

        assert await status(f"127.0.0.2:{server.port}") == 200
        assert await status("stigmer.example") == 200
        assert await status("stigmer.example:443") == 200
        assert await status("evil.example") == 421
        assert await status(f"127.0.0.3:{server.port}") == 421
        forwarded = {"Host": "evil.example", "X-Forwarded-Host": "stigmer.example"}
        assert (await http.get("/livez", headers=forwarded)).status_code == 421, "a proxy's word is no Host"


def https(tmp_path: Path, authority: Authority, **issue: object) -> dict[str, str]:
    pair = authority.issue("server", "127.0.0.2", **issue)  # type: ignore[arg-type]
    return {
        "STIGMER_LISTEN": "127.0.0.2",
        "STIGMER_TLS_CERT_FILE": str(pair.cert),
        "STIGMER_TLS_KEY_FILE": str(pair.key),
        "STIGMER_SERVER_CA_FILE": str(tmp_path / "ca.pem"),
    }


async def why(url: str, ca: Path | None) -> str:
    """Why a client does not get through; empty where it does."""
    async with Client(url, lambda: TOKEN, ca_file=str(ca) if ca else None) as client:
        try:
            await client.health()
        except ServerUnavailable as error:
            return error.message
    return ""


async def says(url: str, ca: Path | None, words: str) -> None:
    """Return once a client is told `words`; one that is out of breath may have no time for a second look at first."""

    async def is_told() -> bool:
        return words in await why(url, ca)

    await eventually(is_told, within_s=20, what=words)


async def test_over_tls_the_authority_is_what_lets_a_client_through(tmp_path: Path) -> None:
    authority, impostor = Authority(tmp_path), Authority(tmp_path, "stranger")
    async with served(tmp_path, NOWHERE, https(tmp_path, authority)) as server:
        async with server.client() as client:
            assert (await client.health()).pid
        untrusted = "its certificate is signed by an authority that is not trusted here: set STIGMER_SERVER_CA_FILE to"
        await says(server.url, impostor.file, f"{untrusted} the file of its authority (today {impostor.file})")
        await says(server.url, None, "(today those of the system)")
        plain = server.url.replace("https", "http")
        await says(
            plain,
            None,
            f"it expects TLS, and the connection was made without it: set STIGMER_SERVER_URL to {server.url}",
        )
        told = await why(server.url.replace("127.0.0.2", "localhost"), authority.file)
        assert "connection refused" in told, "nothing is told of TLS where nobody listens"


async def test_tls_to_a_plain_server_and_a_wrong_name_are_reported(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with served(tmp_path, NOWHERE) as server:
        words = "it does not speak TLS: set STIGMER_SERVER_URL to http://127.0.0.1"
        await says(server.url.replace("http", "https"), authority.file, words)
    (tmp_path / "far").mkdir()
    settings = https(tmp_path, authority) | {"STIGMER_LISTEN": "127.0.0.3"}
    server = Served(tmp_path / "far", NOWHERE, settings)
    try:
        server.spawn()

        async def listens() -> bool:
            return "is not for the name '127.0.0.3'" in await why(server.url, authority.file)

        await eventually(listens, within_s=20)
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("begins", "ends", "sentence"),
    [
        (PAST - timedelta(days=9), PAST, f"its certificate expired at {PAST.astimezone():%Y-%m-%d %H:%M}"),
        (FUTURE, FUTURE + timedelta(days=9), f"is not valid before {FUTURE.astimezone():%Y-%m-%d %H:%M}"),
    ],
)
async def test_a_certificate_outside_its_validity_is_reported_with_the_time(
    tmp_path: Path, begins: object, ends: object, sentence: str
) -> None:
    authority = Authority(tmp_path)
    server = Served(tmp_path, NOWHERE, https(tmp_path, authority, begins=begins, ends=ends))
    try:
        server.spawn()

        async def told() -> bool:
            return sentence in await why(server.url, authority.file)

        await eventually(told, within_s=20)
    finally:
        server.kill()


async def test_no_authority_in_the_file_is_wrong_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"STIGMER_SERVER_CA_FILE: .*gone.pem cannot be read: No such file"):
        Client("https://127.0.0.1:1", lambda: TOKEN, ca_file=str(tmp_path / "gone.pem"))
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match="holds no certificate of an authority"):
        Client("https://127.0.0.1:1", lambda: TOKEN, ca_file=str(tmp_path / "ca.pem"))


async def test_a_rotated_certificate_counts_without_a_restart_and_a_broken_one_does_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    settings = https(tmp_path, authority)
    async with served(tmp_path, NOWHERE, settings) as server:

        async def shown() -> str:
            return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.2", server.port))

        first = await shown()
        (tmp_path / "server.key").write_text("nonsense")

        async def is_told() -> bool:
            return "server_certificate_not_taken" in server.log.read_text()

        await eventually(is_told, within_s=10)
        assert await shown() == first, "half a rotation does no harm"
        # of another kind: a server that only adds it would go on showing the first
        authority.issue("server", "127.0.0.2", key_type=trustme.KeyType.RSA)

        async def is_new() -> bool:
            return await shown() != first

        await eventually(is_new, within_s=10)
        async with server.client() as client:
            assert (await client.health()).pid


async def test_a_rotated_authority_counts_for_a_client_that_goes_on(tmp_path: Path) -> None:
    old, new = Authority(tmp_path), Authority(tmp_path, "new")
    async with served(tmp_path, NOWHERE, https(tmp_path, old)) as server, server.client() as client:
        await client.health()
        new.issue("server", "127.0.0.2")

        async def is_refused() -> bool:
            return "not trusted here" in await why(server.url, tmp_path / "ca.pem")

        await eventually(is_refused, within_s=10)
        (tmp_path / "ca.pem").write_bytes(new.file.read_bytes())
        server.kill()
        server.spawn()
        assert (await eventually(client.health, within_s=20, despite=ServerUnavailable)).pid
