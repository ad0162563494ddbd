"""`stigmer doctor` before real faults: the first line names the right cause, the exit code says it, it ends in time."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are not installed
import pytest

from stigmer_cli.doctor.catalog import CHECKS
from stigmer_cli.doctor.check import Category
from tests.support.installed import Stigmer, frozen, installed
from tests.support.machine_load import slack
from tests.support.polling import wait_until
from tests.support.temporal_server import dev_server, free_port, kill_group

SCHEMA = json.loads((files("stigmer_cli.doctor") / "schema.json").read_text())
ENDS_IN_S = 8.0
ROUNDS_MAX = 4
SECOND_LOOKS_S = 15.0
"""Three seconds on a quiet machine; this one runs other tests beside."""

WITHIN_S = 30.0
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""An empty SETTINGS frame, with which an HTTP/2 server begins (RFC 9113, 3.4)."""

Report = dict[str, Any]


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    """A stack that is up; each test leaves it healthy."""
    with installed(tmp_path_factory.mktemp("doctor") / "home") as one:
        one.ok("up")
        yield one


def diagnosed(
    stigmer: Stigmer, *arguments: str, verdict: str | None = None, holds: Callable[[int, Report], bool] | None = None
) -> tuple[int, Report]:
    """Exit code and report; doctor is asked again for a while where the verdict has another code than `verdict`.

    Also where `holds`, what else the test will ask of the two, is false. A machine that runs other tests beside this
    one may be out of breath for a look, and doctor then says so.
    """

    def is_it(code: int, found: Report) -> bool:
        return verdict in (None, found["verdict"]["code"]) and (holds is None or holds(code, found))

    deadline = time.monotonic() + SECOND_LOOKS_S
    code, found = looked(stigmer, *arguments)
    while not is_it(code, found) and time.monotonic() < deadline:
        code, found = looked(stigmer, *arguments)
    return code, found


def shown(stigmer: Stigmer, *words: str) -> str:
    """The first page of doctor that holds all of `words`."""
    pages: list[str] = []

    def is_there() -> bool:
        pages.append(stigmer("doctor").stdout)
        return all(word in pages[-1] for word in words)

    wait_until(is_there)
    return pages[-1]


def looked(stigmer: Stigmer, *arguments: str) -> tuple[int, Report]:
    """One look; the report holds to its schema, and nothing else is on standard output."""
    began = time.monotonic()
    done = stigmer("doctor", "-o", "json", *arguments)
    took_s = time.monotonic() - began
    assert took_s < ENDS_IN_S * slack(), done.stdout
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    assert isinstance(found, dict)
    assert (done.returncode == 0) is found["ok"], done.stdout
    return done.returncode, found


def results(found: Report) -> dict[str, str]:
    return {one["code"]: one["result"] for one in found["checks"]}


def verdict(found: Report) -> tuple[str, str, str]:
    told = found["verdict"]
    return told["code"], told["message"], told["hint"]


def healthy_again(stigmer: Stigmer) -> None:
    assert stigmer("doctor", "--wait=30").returncode == 0


def judged_all(found: dict[str, Any]) -> bool:
    """Whether nothing was skipped but what is about servers elsewhere and TLS, which is not there on loopback."""
    skipped = {code for code, result in results(found).items() if result == "skip"}
    return skipped == {"STG125", "STG126", "STG215"} and set(results(found).values()) <= {"pass", "info", "skip"}


def test_a_healthy_stack_is_healthy_in_every_format(stigmer: Stigmer) -> None:
    healthy_again(stigmer)
    code, found = diagnosed(stigmer, "--strict", holds=lambda code, found: code == 0 and judged_all(found))
    assert (code, found["verdict"]["message"]) == (0, "healthy"), found
    assert judged_all(found), found
    passes = [one["category"] for one in found["checks"] if one["result"] == "pass"]
    text = shown(stigmer, "passed: " + ", ".join(f"{one} {passes.count(one)}" for one in Category))
    assert text.startswith("healthy\n")


@pytest.mark.parametrize("part", ["temporal", "server", "runner"])
def test_a_frozen_part_is_the_verdict_and_its_fix_works(stigmer: Stigmer, part: str) -> None:
    codes = {"temporal": "STG105", "server": "STG106", "runner": "STG107"}
    pid = stigmer.pids()[part]
    with frozen(pid):
        code, found = diagnosed(stigmer, verdict=codes[part])
    assert code == 1
    assert verdict(found) == (
        codes[part],
        f"not healthy: {part} (pid {pid}) is frozen by a signal (SIGSTOP)",
        f"kill -CONT {pid}",
    )
    healthy_again(stigmer)


def test_everything_frozen_is_reported_in_time_and_the_supervisor_first(stigmer: Stigmer) -> None:
    pids = stigmer.pids()
    with frozen(*pids.values()):
        frozen_ones = {"STG104", "STG105", "STG106", "STG107"}
        code, found = diagnosed(
            stigmer, verdict="STG104", holds=lambda _, found: failed(found) == frozen_ones and found["tookMs"] < 4000
        )
    assert (code, found["verdict"]["code"]) == (1, "STG104")
    assert found["tookMs"] < 4000
    assert failed(found) == frozen_ones
    healthy_again(stigmer)


def test_temporal_killed_while_nobody_restarts_it(stigmer: Stigmer) -> None:
    pids = stigmer.pids()
    with frozen(pids["supervisor"]):
        os.kill(pids["temporal"], signal.SIGKILL)
        code, found = diagnosed(
            stigmer,
            verdict="STG104",
            holds=lambda _, found: (results(found)["STG105"], results(found)["STG207"]) == ("fail", "skip"),
        )
    assert code == 1
    assert verdict(found) == (
        "STG104",
        f"not healthy: the supervisor (pid {pids['supervisor']}) is frozen by a signal (SIGSTOP)",
        f"kill -CONT {pids['supervisor']}",
    )
    assert results(found)["STG105"] == "fail"
    assert {results(found)[code] for code in ("STG201", "STG202", "STG203", "STG207")} == {"skip"}
    assert next(one["because"] for one in found["checks"] if one["code"] == "STG203") == "STG105"
    healthy_again(stigmer)


def test_a_killed_part_is_reported_though_it_runs_again(stigmer: Stigmer) -> None:
    stigmer.kill("server")
    healthy_again(stigmer)
    code, found = diagnosed(stigmer, holds=lambda code, found: (code, results(found)["STG106"]) == (0, "warn"))
    assert (code, results(found)["STG106"]) == (0, "warn")
    wait_until(lambda: stigmer("doctor", "--strict", "--only", "STG106").returncode == 1)


def test_a_port_that_somebody_took_comes_before_what_cannot_start_without_it(stigmer: Stigmer) -> None:
    pids = stigmer.pids()
    port = int(stigmer.environment["STIGMER_TEMPORAL_PORT"])
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with frozen(pids["supervisor"]):
            os.kill(pids["temporal"], signal.SIGKILL)
            wait_until(lambda: takes(thief, port))
        wait_until(lambda: restarts(stigmer, "temporal") >= 2)
        code, found = diagnosed(stigmer, verdict="STG103")
        text = shown(stigmer, "(STG103)\n")
    assert (code, found["verdict"]["code"]) == (1, "STG103")
    assert f"port {port} for temporal is held by pid {os.getpid()}" in found["verdict"]["message"]
    assert text.splitlines()[0].endswith("(STG103)")
    wait_until(lambda: stigmer("up").returncode == 0)
    healthy_again(stigmer)


def waiting_for_a_frozen_temporal(stigmer: Stigmer) -> tuple[str, int, Report]:
    """The id of an execution that waits for a Temporal that is frozen, and what doctor says meanwhile."""
    with frozen(stigmer.pids()["temporal"]):
        name = stigmer.ok("run", "greeter", "hello", "--detach").strip()
        time.sleep(5.5)  # what is younger than five seconds is on its way
        code, found = diagnosed(stigmer, verdict="STG105", holds=lambda _, found: queued(found) == ("warn", [name]))
    return name, code, found


def test_without_temporal_the_server_goes_on_and_what_waits_is_counted(stigmer: Stigmer) -> None:
    stigmer.apply_agent()
    name, code, found = waiting_for_a_frozen_temporal(stigmer)
    for _ in range(ROUNDS_MAX):  # after 15 s of silence the supervisor replaces it: on a busy machine that is short
        if queued(found) == ("warn", [name]):
            break
        healthy_again(stigmer)
        name, code, found = waiting_for_a_frozen_temporal(stigmer)
    assert (code, found["verdict"]["code"]) == (1, "STG105")
    assert queued(found) == ("warn", [name])
    healthy_again(stigmer)
    assert stigmer("executions", "watch", name, "--timeout", "60").returncode == 0


def test_explanations_lists_and_the_schema_need_nothing_that_runs(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        assert "founded on" in stigmer.ok("doctor", "explain", "stg205")
        assert stigmer("doctor", "explain", "STG999").returncode == 5
        assert len(stigmer.json("doctor", "--list-checks")["items"]) == len(CHECKS)
        assert json.loads(stigmer.ok("doctor", "--json-schema")) == SCHEMA
        assert stigmer("doctor", "--only", "nonsense").returncode == 2
        assert stigmer("doctor", "--skip", "nonsense", "-o", "json").stdout == ""


def test_a_stack_that_was_never_started_says_how_to(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        code, found = diagnosed(stigmer, verdict="STG104")
        place = stigmer.home
    assert code == 1
    assert verdict(found) == (
        "STG104",
        f"not healthy: no stack runs in {place}: none was ever started there",
        "stigmer up",
    )


def test_settings_that_cannot_be_read_come_first(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        (stigmer.home / "config.toml").write_text("server_prot = 7234\n")
        code, found = diagnosed(stigmer, verdict="STG501")
        assert (code, found["verdict"]["code"]) == (1, "STG501")
        assert "did you mean server_port?" in found["verdict"]["message"]
        assert found["summary"] == {
            "passed": 3,
            "info": 0,
            "warnings": 0,
            "failed": 1,
            "skipped": len(CHECKS) - 4,
            "notJudged": 0,
        }


def test_wait_runs_out_with_124_and_tells_each_change_once(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        done = stigmer("doctor", "--wait=2.5")
    assert done.returncode == 124
    assert done.stderr.count("not healthy: no stack runs") == 2, "once as it is found, once at the end"


def test_ctrl_c_ends_a_wait_with_130(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        waiting = stigmer.spawn("doctor", "--wait")
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith("not healthy")
        waiting.send_signal(signal.SIGINT)
        _, talk = waiting.communicate(timeout=10)
    assert waiting.returncode == 130
    assert talk == "interrupted\n", "no traceback, and no word of the native side"


def test_a_missing_namespace_a_missing_runner_and_the_founding_bug(tmp_path: Path) -> None:
    with dev_server(tmp_path) as temporal:
        settings = {"STIGMER_TEMPORAL_ADDRESS": temporal.address, "STIGMER_TEMPORAL_NAMESPACE": "missing"}
        with installed(tmp_path / "home", settings) as stigmer:
            with serving(stigmer):
                code, found = diagnosed(stigmer, verdict="STG203")
                assert (code, found["verdict"]["code"]) == (1, "STG203")
                assert 'namespace "missing" not found' in found["verdict"]["message"]
                assert found["verdict"]["hint"].endswith(f"namespace create -n missing --address {temporal.address}")

                stigmer.environment["STIGMER_TEMPORAL_NAMESPACE"] = "default"
                code, found = diagnosed(stigmer, verdict="STG205")
                assert (code, found["verdict"]["code"]) == (1, "STG205")
                assert re.search(
                    r"this command reaches Temporal at .* but the server does not: .*MISCONFIGURED",
                    found["verdict"]["message"],
                )
            with serving(stigmer):
                wait_until(lambda: diagnosed(stigmer)[1]["verdict"]["code"] == "STG207")
                code, found = diagnosed(stigmer, verdict="STG207")
                code_, words, hint = verdict(found)
                assert (code_, hint) == ("STG207", "stigmer work")
                assert re.fullmatch(
                    r'not healthy: no runner asks the task queue "stigmer-str-[0-9a-z]{26}" for work: what is'
                    r" submitted waits",
                    words,
                )
                temporal.kill()
                code, found = diagnosed(stigmer, verdict="STG201")
                assert (code, found["verdict"]["code"]) == (1, "STG201")
                assert found["verdict"]["message"].endswith("cannot be reached from here: connection refused")


def test_a_foreign_temporal_on_our_port_is_named_and_not_used(tmp_path: Path) -> None:
    with dev_server(tmp_path) as temporal:
        settings = {"STIGMER_TEMPORAL_PORT": str(temporal.port)}
        with installed(tmp_path / "home", settings) as stigmer:
            code, found = diagnosed(stigmer, verdict="STG103")
            assert (code, found["verdict"]["code"]) == (1, "STG103")
            assert f"is held by pid {temporal.pid}" in found["verdict"]["message"]
            assert found["verdict"]["hint"] == "stigmer up --auto-ports"


@pytest.mark.parametrize("greeting", [b"", SETTINGS], ids=["silent", "greets-and-falls-silent"])
def test_a_port_that_does_not_serve_is_distinguished_from_a_closed_one(tmp_path: Path, greeting: bytes) -> None:
    with greeter(greeting) as port:
        settings = {"STIGMER_TEMPORAL_ADDRESS": f"127.0.0.1:{port}"}
        with installed(tmp_path / "home", settings) as stigmer:
            code, found = diagnosed(stigmer, verdict="STG202")
        assert (code, found["verdict"]["code"]) == (1, "STG202")
        assert "takes connections, but does not serve: no answer within" in found["verdict"]["message"]


def test_ctrl_c_while_temporal_is_dialled_ends_at_once(tmp_path: Path) -> None:
    with greeter(SETTINGS) as port:
        settings = {"STIGMER_TEMPORAL_ADDRESS": f"127.0.0.1:{port}"}
        with installed(tmp_path / "home", settings) as stigmer:
            waiting = stigmer.spawn("doctor", "--wait")
            assert waiting.stderr is not None
            assert waiting.stderr.readline().startswith("not healthy")
            time.sleep(1.7)  # the second look has begun to dial
            waiting.send_signal(signal.SIGINT)
            _, talk = waiting.communicate(timeout=ENDS_IN_S)
    assert waiting.returncode == 130
    assert talk == "interrupted\n", "no traceback, and no word of the native side"


@contextmanager
def greeter(greeting: bytes) -> Iterator[int]:
    """A port that greets whoever connects, and never says another word."""
    met = []

    def greet(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                met.append(listener.accept()[0])
                met[-1].sendall(greeting)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=greet, args=(listener,))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)
            for one in met:
                one.close()


@contextmanager
def serving(stigmer: Stigmer) -> Iterator[None]:
    """`stigmer serve` by hand, without a supervisor and without a runner, until it answers."""
    stigmer.environment["STIGMER_SERVER_PORT"] = str(free_port())
    with (stigmer.home / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [stigmer.command, "serve"], env=stigmer.environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until(lambda: results(diagnosed(stigmer, "--only", "STG108")[1])["STG108"] == "pass")
            yield
        finally:
            kill_group(process)


def failed(found: Report) -> set[str]:
    """The codes of the checks that failed."""
    return {code for code, result in results(found).items() if result == "fail"}


def queued(found: Report) -> tuple[str, list[str]]:
    """What is said of the executions that wait for Temporal, and their ids."""
    check = next(one for one in found["checks"] if one["code"] == "STG401")
    return check["result"], (check["evidence"] or {}).get("ids", [])


def takes(thief: socket.socket, port: int) -> bool:
    """Whether `thief` listens on `port` now, whose owner is just ending."""
    try:
        thief.bind(("127.0.0.1", port))
    except OSError:
        return False
    thief.listen()
    return True


def restarts(stigmer: Stigmer, part: str) -> int:
    parts = stigmer.json("status")["parts"]
    return int(next(one["restarts"] for one in parts if one["name"] == part))
