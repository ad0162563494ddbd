"""Commands on a machine whose server is another one, behind https with an authority of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until
from tests.support.running_server import TOKEN, Served
from tests.support.temporal_server import dev_server
from tests.support.tls import Authority


@contextmanager
def far_away(folder: Path) -> Iterator[Served]:
    """A server on 127.0.0.2, with a Temporal that nobody else knows the address of."""
    folder.mkdir()
    authority = Authority(folder)
    pair = authority.issue("server", "127.0.0.2")
    settings = {
        "STIGMER_LISTEN": "127.0.0.2",
        "STIGMER_TLS_CERT_FILE": str(pair.cert),
        "STIGMER_TLS_KEY_FILE": str(pair.key),
        "STIGMER_SERVER_CA_FILE": str(authority.file),
    }
    with dev_server(folder) as temporal:
        server = Served(folder, temporal.address, settings)
        try:
            asyncio.run(server.start())
            asyncio.run(server.until())
            yield server
        finally:
            server.kill()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Served]:
    with far_away(tmp_path / "far") as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, far: Served) -> Iterator[Stigmer]:
    """The command line on this machine, where nothing runs."""
    settings = {
        "STIGMER_SERVER_URL": far.url,
        "STIGMER_SERVER_CA_FILE": str(tmp_path / "far" / "ca.pem"),
        "STIGMER_TOKEN": TOKEN,
    }
    with installed(tmp_path / "here", settings) as stigmer:
        yield stigmer


def test_every_command_speaks_of_the_server_that_was_named(far: Served, here: Stigmer) -> None:
    here.apply_agent()
    assert "greeter" in here.ok("agents", "list")
    status = here.json("status")
    assert status["state"] == "degraded", "nobody runs anything there yet"
    assert {part["name"]: part["state"] for part in status["parts"]} == {
        "server": "external",
        "temporal": "external",
        "runner": "not-ready",
    }
    assert status["serverUrl"] == far.url
    page = here("status").stdout
    assert "server elsewhere: degraded" in page
    assert "store sqlite" in page
    for command in ("logs", "restart"):
        done = here(command)
        assert done.returncode == 2
        assert f"stigmer {command} is about a stack of this machine" in done.stderr
        assert far.url in done.stderr
    checks = {check["code"]: check for check in here.json("doctor")["checks"]}
    assert checks["STG126"]["result"] == "fail"
    assert "no runner polls" in checks["STG126"]["message"]
    assert checks["STG125"]["result"] == "pass"
    for code in ("STG103", "STG104", "STG105", "STG106", "STG107", "STG301"):
        assert checks[code]["message"] == f"not on this machine: the server is at {far.url}"

    del here.environment["STIGMER_TOKEN"]
    for words in ("work", "agents list"):
        done = here(*words.split())
        assert done.returncode == 2, "a token that is made here would be refused there for ever"
        assert f"there is no token for the server at {far.url}" in done.stderr
    assert not (here.home / "token").exists()


def test_each_network_fault_is_reported_by_status_and_by_doctor(tmp_path: Path, far: Served, here: Stigmer) -> None:
    impostor = Authority(tmp_path, "stranger")

    def told() -> tuple[int, str, str]:
        done, judged = here("status"), here("doctor", "--only", "STG125", "--only", "STG108")
        assert judged.returncode == 1
        return done.returncode, " ".join(done.stdout.split()), " ".join(judged.stdout.split())

    here.environment["STIGMER_SERVER_CA_FILE"] = str(impostor.file)
    code, status, doctor = told()
    assert code == 4
    assert "server elsewhere: unreachable" in status
    for words in (status, doctor):
        assert "signed by an authority that is not trusted here: set STIGMER_SERVER_CA_FILE" in words
    here.environment["STIGMER_SERVER_CA_FILE"] = "/nowhere/ca.pem"
    code, status, doctor = told()
    for words in (status, doctor):
        assert "STIGMER_SERVER_CA_FILE: /nowhere/ca.pem cannot be read" in words
    here.environment["STIGMER_SERVER_CA_FILE"] = str(tmp_path / "far" / "ca.pem")
    here.environment["STIGMER_TOKEN"] = "wrong"
    code, status, doctor = told()
    assert "refuses the token of this command" in status
    here.environment["STIGMER_TOKEN"] = TOKEN
    far.kill()
    wait_until(lambda: here("status").returncode == 4, within_s=20)
    code, status, doctor = told()
    assert "connection refused" in status
    assert f"the server at {far.url} cannot be used: connection refused" in doctor
