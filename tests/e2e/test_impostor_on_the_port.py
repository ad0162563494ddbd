"""Somebody else listens where the server should: no command tells them the token, or anything that is meant for it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.impostor import Behaviour, Impostor, impostor
from tests.support.installed import Stigmer, frozen, installed
from tests.support.polling import wait_until

SECRET = "for-the-server-only"
TOKEN = "the-token-of-this-home"
ID = "aex-01m846f8afgxzx0thxqswsbpkc"
MANIFEST = (
    "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: {name: greeter}\n"
    f"spec: {{description: says hello, instructions: {SECRET}, model: echo}}\n"
)
QUICK = (
    ("executions", "list"),
    ("run", "greeter", SECRET),
    ("run", "greeter", SECRET, "--detach"),
    ("executions", "list", "--stuck"),
    ("executions", "get", ID),
    ("executions", "watch", ID),
    ("executions", "cancel", ID),
    ("executions", "reconcile", "--yes"),
    ("agents", "list"),
    ("agents", "get", SECRET),
    ("agents", "delete", SECRET, "--yes"),
    ("apply", "-f", "-"),
)
MANNERS = [behaviour for behaviour in Behaviour if behaviour is not Behaviour.TRICKLES]
QUICK_MANNERS = {Behaviour.PRETENDS, Behaviour.REDIRECTS}
"""The two that a careless client would believe, or follow; the others are tried by hand."""


@pytest.fixture
def down(tmp_path: Path) -> Iterator[Stigmer]:
    """A home with a token, whose stack is down."""
    with installed(tmp_path / "home") as stigmer:
        (stigmer.home / "token").write_text(TOKEN + "\n")
        (stigmer.home / "token").chmod(0o600)
        yield stigmer


def port_of(stigmer: Stigmer) -> int:
    return int(stigmer.environment["STIGMER_SERVER_PORT"])


def owner(port: int) -> str:
    return f"port {port} belongs to pid {os.getpid()} ("


def says_whose(done: "subprocess.CompletedProcess[str]", port: int) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert f"the server is not running; {owner(port)}" in " ".join(said.split())


def heard_nothing(found: Impostor) -> None:
    for word in (TOKEN, SECRET, "uthorization", "Bearer", "POST", "PUT", "DELETE"):
        assert word.encode() not in found.received
    # beside it, a handshake that asks whether TLS is spoken there
    assert set(re.findall(rb"[A-Z]{3,} /[^ ?]*", found.received)) <= {b"GET /v1/challenge"}
    assert found.received or found.behaviour is Behaviour.CLOSES, "somebody was asked at all"


@pytest.mark.parametrize(
    "behaviour",
    [pytest.param(one, marks=() if one in QUICK_MANNERS else pytest.mark.slow, id=one.name.lower()) for one in MANNERS],
)
def test_no_command_sends_a_foreign_server_anything(down: Stigmer, behaviour: Behaviour) -> None:
    with impostor(port_of(down), behaviour) as found:
        for arguments in QUICK:
            says_whose(down(*arguments, stdin=MANIFEST), port_of(down))
        status = down("status")
        assert status.returncode == 3
        assert f"server: not running; {owner(port_of(down))}" in " ".join(status.stdout.split())
        assert down("doctor").returncode == 1
        for command in ("up", "restart"):
            done = down(command)
            assert done.returncode == 1
            assert f"port {port_of(down)} for server is held by pid {os.getpid()}" in " ".join(done.stderr.split())
        down.ok("down")
        heard_nothing(found)


@pytest.mark.slow
def test_one_who_trickles_is_waited_for_no_longer_than_for_a_proof(down: Stigmer) -> None:
    with impostor(port_of(down), Behaviour.TRICKLES) as found:
        for arguments in (("run", "greeter", SECRET), ("executions", "list")):
            says_whose(down(*arguments), port_of(down))
        assert down("status").returncode == 3
        heard_nothing(found)


@contextmanager
def overtaken(stigmer: Stigmer, behaviour: Behaviour) -> Iterator[Impostor]:
    """The server of a running stack is gone, its supervisor sleeps, and somebody else has the port."""
    pids = stigmer.pids()
    with frozen(pids["supervisor"]):
        os.kill(pids["server"], signal.SIGKILL)
        port = port_of(stigmer)
        wait_until(lambda: f":{port}" not in _listening(), within_s=5)
        with impostor(port, behaviour) as found:
            yield found


def _listening() -> str:
    return subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout


def test_a_port_that_was_taken_over_while_the_stack_runs_gets_nothing(down: Stigmer) -> None:
    down.ok("up")
    down.apply_agent("slow", "echo:slow")
    name = down.ok("run", "slow", f"{SECRET} " * 100, "--detach").strip()
    wait_until(lambda: down.json("executions", "get", name)["status"]["messages"], within_s=20)
    with overtaken(down, Behaviour.AGREES) as found:
        wait_until(lambda: bool(found.received), within_s=20)  # the runner, which has something to report
        done = down("run", "greeter", SECRET, "--detach")
        says_whose(done, port_of(down))
        says_whose(down("executions", "list"), port_of(down))
        assert down("status").returncode == 1
        assert down("doctor").returncode == 1
        heard_nothing(found)
    wait_until(lambda: down("status").returncode == 0, within_s=30)
    assert [item["metadata"]["id"] for item in down.json("executions", "list")["items"]] == [name]


def test_a_server_with_another_token_is_distinguished_from_one_of_ours(down: Stigmer) -> None:
    settings = {**down.environment, "STIGMER_TOKEN": "another", "STIGMER_TEMPORAL_ADDRESS": "127.0.0.1:1"}
    (down.home.parent / "other").mkdir(mode=0o700)
    settings["STIGMER_HOME"] = str(down.home.parent / "other")
    with subprocess.Popen([down.command, "serve"], env=settings, stderr=subprocess.DEVNULL) as other:
        try:
            wait_until(lambda: f":{port_of(down)}" in _listening(), within_s=30)
            done = down("executions", "list")
            assert done.returncode == 3
            assert f"port {port_of(down)} belongs to pid {other.pid} (" in " ".join(done.stderr.split())
        finally:
            other.terminate()


def test_the_token_is_sent_to_another_machine_only_when_configured(down: Stigmer) -> None:
    down.environment["STIGMER_SERVER_URL"] = "http://192.0.2.1:7234"
    done = down("executions", "list")
    assert done.returncode == 2
    assert "the token is not sent to http://192.0.2.1:7234: it would cross the network unencrypted" in " ".join(
        done.stderr.split()
    )
    assert "STIGMER_INSECURE_HTTP=true" in done.stderr


def test_a_foreign_server_named_by_url_is_distinguished_from_ours(down: Stigmer) -> None:
    port = port_of(down)
    del down.environment["STIGMER_SERVER_PORT"]
    down.environment["STIGMER_SERVER_URL"] = f"http://localhost:{port}"
    with impostor(port, Behaviour.AGREES) as found:
        says_whose(down("run", "greeter", SECRET), port)
        checks = {one["code"]: one for one in down.json("doctor", "--only", "STG120")["checks"]}
        assert checks["STG120"]["result"] == "fail"
        assert f"is answered by pid {os.getpid()} (" in checks["STG120"]["message"]
        heard_nothing(found)
        down.environment["STIGMER_INSECURE_HTTP"] = "true"
        down("executions", "list")
        assert TOKEN.encode() in found.received, "whoever says so decides"
