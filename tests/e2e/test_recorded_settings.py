"""What a stack was started with counts, whichever shell a command is typed in; and a restart is for whoever asks."""

import copy
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support import postgres
from tests.support.installed import Stigmer, installed
from tests.support.stub_openai import Models, answering
from tests.support.temporal_server import free_port

DATABASE, KEY, BASE = "STIGMER_DATABASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"
PASSWORD = "pg-pass-7261"
"""Not asked for by a cluster that trusts everybody, and looked for in all that is written."""


@pytest.fixture
def stigmer(tmp_path: Path) -> Iterator[Stigmer]:
    with installed(tmp_path / "home") as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as found:
        yield found


@pytest.fixture
def models() -> Iterator[Models]:
    with answering() as found:
        yield found


def shell(stigmer: Stigmer, unset: tuple[str, ...] = (), /, **said: str) -> Stigmer:
    """The same home in another shell."""
    other = copy.copy(stigmer)
    other.environment = {name: value for name, value in stigmer.environment.items() if name not in unset} | said
    return other


def with_password(url: str) -> str:
    return url.replace("stigmer@", f"stigmer:{PASSWORD}@")


def phases(stigmer: Stigmer) -> list[str]:
    return [one["status"]["phase"] for one in stigmer.json("executions", "list")["items"]]


def first_line(stigmer: Stigmer) -> tuple[str, str, str]:
    """What doctor says first: code, message, hint."""
    verdict = stigmer.json("doctor")["verdict"]
    return verdict["code"] or "", verdict["message"], verdict["hint"]


def finding(stigmer: Stigmer, code: str) -> tuple[str, str, str]:
    """What one check found: result, message, hint."""
    checks = stigmer.json("doctor", "--only", code)["checks"]
    found = next(one for one in checks if one["code"] == code)
    return found["result"], found["message"], found["hint"]


def holders(folder: Path, secret: str) -> list[str]:
    """The files in which `secret` stands."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_socket()]
    return [str(path.relative_to(folder)) for path in files if secret.encode() in path.read_bytes()]


# -- the database


@pytest.mark.slow
def test_a_shell_without_the_database_never_starts_on_another(stigmer: Stigmer, cluster: postgres.Cluster) -> None:
    with cluster.database() as url:
        one = shell(stigmer, **{DATABASE: with_password(url), "PGSERVICE": "no-such-service", "PGDATABASE": "other"})
        two = stigmer
        one.ok("up")
        one.apply_agent()
        one.ok("run", "greeter", "hello")

        # While it runs, every command of the other shell is about the same stack.
        assert phases(two) == ["COMPLETED"]
        code, message, _ = first_line(two)
        assert (code, message) == ("", "healthy")
        assert finding(two, "STG301")[:2] == ("skip", "the database is not a file of this machine")
        restarted = two("restart", "server")
        assert restarted.returncode == 0, restarted.stderr
        assert phases(two) == ["COMPLETED"]
        two.ok("restart")
        assert phases(two) == ["COMPLETED"], "a restart asks the supervisor for the URL that is not written down"

        # Once it is down, it does not start without the database, says why, and says what to type.
        assert two("down").returncode == 0
        refused = two("up")
        assert refused.returncode == 2
        shown = url.split("?")[0]
        assert f"the executions of {stigmer.home} are in {shown}" in refused.stderr
        assert f"as {DATABASE} said; {DATABASE} is not set here" in refused.stderr
        assert "stigmer up --new-database" in refused.stderr
        assert two.pids() == {}
        assert not (stigmer.home / "data" / "stigmer.db").exists()
        code, message, hint = first_line(two)
        assert (code, hint) == ("STG117", f"export {DATABASE}=... && stigmer up")
        assert message.startswith(f"not healthy: the executions of {stigmer.home} are in {shown}")
        served = two("serve")
        assert (served.returncode, f"{DATABASE} is not set here" in served.stderr) == (2, True)

        # The shell that knows the database goes on where it was; the password is nowhere in the home.
        one.ok("up")
        assert phases(one) == ["COMPLETED"]
        assert holders(stigmer.home, PASSWORD) == []
        one.ok("down")

        # On purpose, and then that is what counts.
        moved = two("up", "--new-database")
        assert moved.returncode == 0, moved.stderr
        assert f"changed: database_url (server): {shown}" in moved.stderr
        assert phases(two) == []
        two.ok("down")
        back = one("up")
        assert (back.returncode, "names another database here" in back.stderr) == (2, True)
        two.ok("up")


@pytest.mark.slow
def test_a_database_without_a_password_goes_on_in_every_shell(stigmer: Stigmer, cluster: postgres.Cluster) -> None:
    with cluster.database() as url:
        bare, _, host = url.partition("?host=")
        one = shell(stigmer, **{DATABASE: bare, "PGHOST": unquote(host)})
        one.ok("up")
        one.apply_agent()
        one.ok("down")
        elsewhere = shell(stigmer, **{DATABASE: bare, "PGHOST": "/nowhere"})("up")
        assert (elsewhere.returncode, "names another database here" in elsewhere.stderr) == (2, True)
        stigmer.ok("up")
        assert [item["metadata"]["name"] for item in stigmer.json("agents", "list")["items"]] == ["greeter"]

        os.kill(stigmer.pids()["supervisor"], 9)
        stigmer.ok("up")
        assert [item["metadata"]["name"] for item in stigmer.json("agents", "list")["items"]] == ["greeter"]
        assert not (stigmer.home / "data" / "stigmer.db").exists()
        stigmer.ok("down")


def test_another_database_is_refused_before_anything_is_stopped(stigmer: Stigmer, tmp_path: Path) -> None:
    stigmer.ok("up")
    before = stigmer.pids()
    other = shell(stigmer, **{DATABASE: f"sqlite:///{tmp_path}/other.db"})

    again, restarted = other("up"), other("restart")

    assert again.returncode == 0
    assert "those of this shell differ" in again.stderr
    assert "stigmer down && stigmer up --new-database applies them" in again.stderr
    assert restarted.returncode == 2
    assert f"{DATABASE} names another database here: sqlite:///{tmp_path}/other.db" in restarted.stderr
    assert stigmer.pids() == before
    assert not (tmp_path / "other.db").exists()
    one = other("restart", "server")
    assert one.returncode == 0, one.stderr
    assert not (tmp_path / "other.db").exists(), "one part alone stays on the database of the others"


@pytest.mark.slow
def test_an_up_that_fails_leaves_the_record_as_it_was(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    stigmer.ok("down")
    wrong = shell(stigmer, **{DATABASE: "postgresql://nobody@127.0.0.1:1/none"})

    failed = wrong("up", "--new-database", "--wait-timeout", "60")
    assert failed.returncode == 1
    words = " ".join(failed.stderr.split())
    assert "error: server does not start: ended by itself with exit code 4" in words
    assert "; PostgreSQL at 127.0.0.1:1/none is not available: connection" in words
    assert "hint: start that database, or correct STIGMER_DATABASE_URL; then stigmer up" in words
    assert "may or may not have counted" not in words

    stigmer.ok("up")


# -- addresses


@pytest.mark.slow
def test_commands_follow_the_stack_not_a_port_that_was_set_since(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    stigmer.apply_agent()
    port = free_port()
    plain = shell(stigmer, ("STIGMER_SERVER_PORT", "STIGMER_TEMPORAL_PORT", "STIGMER_UI_PORT"))

    noted = plain("config", "set", "server_port", str(port))

    assert "it counts from the next `stigmer restart` on" in noted.stderr
    assert "Echo" in plain.ok("run", "greeter", "hello")
    elsewhere = shell(plain, STIGMER_SERVER_PORT="1", STIGMER_TEMPORAL_PORT="2", STIGMER_TEMPORAL_ADDRESS="127.0.0.1:3")
    assert "Echo" in elsewhere.ok("run", "greeter", "hello")
    assert first_line(elsewhere)[:2] == ("", "healthy")
    assert elsewhere("status").returncode == 0

    restarted = plain("restart")

    assert f"changed: server_port (server, runner): {stigmer.environment['STIGMER_SERVER_PORT']}" in restarted.stderr
    assert plain.json("status")["serverUrl"] == f"http://127.0.0.1:{port}"
    assert "Echo" in plain.ok("run", "greeter", "hello")


@pytest.mark.slow
def test_ports_and_another_temporal_stay_when_nothing_is_said(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    before = stigmer.json("status")
    plain = shell(stigmer, ("STIGMER_SERVER_PORT", "STIGMER_TEMPORAL_PORT", "STIGMER_UI_PORT"))
    plain.ok("down")

    plain.ok("up")

    after = plain.json("status")
    addresses = ("serverUrl", "temporalAddress", "temporalUiUrl", "namespace")
    assert [after[name] for name in addresses] == [before[name] for name in addresses]
    row = next(one for one in plain.json("config", "list")["items"] if one["name"] == "server_port")
    assert (row["value"], row["source"]) == (stigmer.environment["STIGMER_SERVER_PORT"], "record")


def test_what_looks_and_what_stops_works_in_a_shell_whose_settings_are_broken(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    stigmer.apply_agent()
    broken = shell(stigmer, STIGMER_UI_PORT="many", STIGMER_RECONCILE="perhaps")

    name = stigmer.ok("run", "greeter", "hello", "--detach").strip()
    for look in (("list",), ("list", "--stuck"), ("get", name), ("watch", name)):
        assert "STIGMER_UI_PORT: 'many' is not a port number" in (done := broken("executions", *look)).stderr
        assert done.returncode == 0, look
    assert name in broken("agents", "list").stdout + broken("executions", "list").stdout
    assert broken("run", "greeter", "hello").returncode == 2
    elsewhere = shell(broken, STIGMER_SERVER_URL="https://prod.example")
    assert elsewhere("executions", "list").returncode == 2
    status = broken("status", "-o", "json")
    assert (status.returncode, json.loads(status.stdout)["state"]) == (0, "ready")
    assert "STIGMER_UI_PORT: 'many' is not a port number" in status.stderr
    assert "server_started" in broken.ok("logs", "server")
    assert broken("restart").returncode == 2
    assert broken("down").returncode == 0
    assert stigmer("status").returncode == 3


# -- settings and keys of whoever asks


@pytest.mark.slow
def test_the_fix_for_a_missing_key_works(stigmer: Stigmer, models: Models) -> None:
    local = shell(stigmer, **{BASE: models.url})
    with_key = shell(local, **{KEY: "sk-of-shell-a"})
    stigmer.ok("up")
    stigmer.apply_agent("clever", "openai:gpt-x")
    assert "OPENAI_API_KEY" in stigmer("run", "clever", "hello").stderr

    # Doctor judges what the runner was given, not its own shell.
    result, message, hint = finding(with_key, "STG505")
    assert (result, hint) == ("warn", "stigmer restart runner")
    assert message == "agents use openai:gpt-x, and the runner was given neither OPENAI_API_KEY nor OPENAI_BASE_URL"
    result, _, hint = finding(stigmer, "STG505")
    assert (result, hint) == ("warn", "export OPENAI_API_KEY=... && stigmer restart runner")

    done = subprocess.run(
        ["bash", "-c", hint.replace("...", "sk-of-the-fix")],
        env={**local.environment, "PATH": f"{Path(stigmer.command).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "changed: openai_api_key (runner): not set -> a value (OPENAI_API_KEY, fingerprint " in done.stderr
    assert "sk-of" not in done.stderr + done.stdout
    assert "the answer" in stigmer.ok("run", "clever", "hello")
    assert models.keys == ["Bearer sk-of-the-fix"]
    assert finding(stigmer, "STG505")[0] == "pass", "a shell without the key says the same"

    # Another shell's `up` touches nothing, and names what a restart would change.
    up = with_key("up")
    assert up.returncode == 0
    assert "openai_api_key (runner): a value (OPENAI_API_KEY, fingerprint " in up.stderr
    assert "-> another value (OPENAI_API_KEY, fingerprint " in up.stderr
    assert "hint: stigmer restart runner applies them" in up.stderr
    told = finding(with_key, "STG116")
    assert (told[0], "openai_api_key (runner): a value" in told[1]) == ("info", True)
    stigmer.ok("run", "clever", "again")
    assert models.keys[-1] == "Bearer sk-of-the-fix"

    # A runner that dies comes back with the key it was given last; one that `up` brings back has the key of who asks.
    os.kill(stigmer.pids()["runner"], 9)
    stigmer.ok("doctor", "--wait=30")
    stigmer.ok("run", "clever", "again")
    assert models.keys[-1] == "Bearer sk-of-the-fix"
    assert holders(stigmer.home, "sk-of") == []


def test_a_part_takes_the_settings_of_who_asks_and_the_addresses_of_its_stack(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    other = shell(
        stigmer,
        STIGMER_SUBMIT_POLICY="fail-fast",
        STIGMER_TEMPORAL_ADDRESS="127.0.0.1:1",
        STIGMER_TOKEN="another-token-here",
    )

    done = other("restart", "server")

    assert done.returncode == 0, done.stderr
    assert "changed: submit_policy (server): queue (the default) -> fail-fast (STIGMER_SUBMIT_POLICY)" in done.stderr
    assert "temporal_address (server, runner): not set -> 127.0.0.1:1 (STIGMER_TEMPORAL_ADDRESS)" in done.stderr
    assert "hint: stigmer restart applies them" in done.stderr
    assert "another-token-here" not in done.stderr
    assert other("status").returncode == 0, "the token of another server is none for this one"
    assert finding(stigmer, "STG118")[0] == "pass"
    stigmer.apply_agent()
    assert "Echo" in stigmer.ok("run", "greeter", "hello")
