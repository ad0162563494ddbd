"""Whatever is asked for while the server or its database is away for a moment is done once, and never lost unseen."""

import asyncio
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support import postgres
from tests.support.http_relay import Relay
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until
from tests.support.running_server import TOKEN, Served
from tests.support.temporal_server import free_port

NOWHERE = "127.0.0.1:1"
ID = re.compile(r"aex-[0-9a-z]{26}")
NEVER = 1_000_000
RETRIED_AT_LEAST_S = 14.0
AT_ONCE_S = 6.0


class Door:
    """A server without a Temporal, a command line that reaches it directly, and one that reaches it through a relay."""

    def __init__(self, folder: Path, relay: Relay, server: Served, direct: Stigmer) -> None:
        self.relay, self.server, self.direct = relay, server, direct
        through = {"STIGMER_SERVER_URL": relay.url, "STIGMER_INSECURE_HTTP": "true", "STIGMER_TOKEN": TOKEN}
        (folder / "there").mkdir(mode=0o700)
        self.through = Stigmer(folder / "there", through)

    def rows(self) -> list[dict[str, Any]]:
        """All executions."""
        items: list[dict[str, Any]] = self.direct.json("executions", "list", "--limit", "100")["items"]
        return items


@contextmanager
def opened(folder: Path, settings: dict[str, str] | None = None) -> Iterator[Door]:
    (folder / "home").mkdir(mode=0o700)
    server = Served(folder / "home", NOWHERE, settings)
    addresses = {"STIGMER_SERVER_PORT": str(server.port), "STIGMER_TOKEN": TOKEN}
    try:
        asyncio.run(server.start())
        with Relay(server.port) as relay, installed(folder / "home", addresses) as direct:
            direct.apply_agent()
            yield Door(folder, relay, server, direct)
    finally:
        server.kill()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with opened(tmp_path) as found:
        yield found


def id_in(text: str) -> str:
    (found,) = set(ID.findall(text))
    return str(found)


def flat(done: "subprocess.CompletedProcess[str]") -> str:
    return " ".join(done.stderr.split())


class Watched:
    """A command under way, whose talk is read as it comes. Use it as a context manager."""

    def __init__(self, stigmer: Stigmer, *arguments: str) -> None:
        self.process = stigmer.spawn(*arguments)
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(timeout=5)
        self._reader.join(timeout=5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()

    @property
    def said(self) -> str:
        """What it told so far, on one line."""
        return " ".join(" ".join(self._lines).split())

    def says(self, words: str) -> None:
        """Return once it has told `words`."""
        wait_until(lambda: words in self.said, within_s=30)

    def ends(self, within_s: float = 60.0) -> tuple[int, str]:
        """How it exits, and its result."""
        code = self.process.wait(timeout=within_s)
        self._reader.join(timeout=5)
        return code, (self.process.stdout.read() if self.process.stdout else "").strip()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self._lines.append(line)


def test_a_create_whose_answer_is_lost_is_tried_again_and_counts_once(door: Door) -> None:
    for lost in (1, 3):
        door.relay.answers_kept = lost
        done = door.through("run", "greeter", "hello", "--detach")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == door.rows()[0]["metadata"]["id"]
        assert len(door.relay.kept) == lost
        door.relay.kept.clear()
    assert len(door.rows()) == 2


@pytest.mark.slow
def test_an_answer_that_never_comes_ends_in_4_with_the_id_and_how_to_look(door: Door) -> None:
    door.relay.answers_kept = NEVER
    began = time.monotonic()
    done = door.through("run", "greeter", "hello", "--detach", "--timeout", "1")
    assert time.monotonic() - began > RETRIED_AT_LEAST_S
    assert done.returncode == 4
    name = id_in(done.stderr)
    assert f"{name} may have been accepted" in flat(done)
    assert f"hint: stigmer executions get {name}" in flat(done)
    assert [row["metadata"]["id"] for row in door.rows()] == [name], "it was, once"
    door.relay.answers_kept = 0
    again = door.through("run", "greeter", "hello", "--detach", "--idempotency-key", name)
    assert (again.returncode, again.stdout.strip()) == (0, name)
    assert len(door.rows()) == 1


def test_a_script_that_tries_again_under_its_key_finds_the_same_execution(door: Door) -> None:
    names = {door.through.ok("run", "greeter", "hello", "--detach", "--idempotency-key", "nightly-1") for _ in range(3)}
    assert len(names) == len(door.rows()) == 1
    other = door.through("run", "greeter", "something else", "--detach", "--idempotency-key", "nightly-1")
    assert other.returncode == 1
    assert "the idempotency key nightly-1 was used for another request" in flat(other)
    assert door.through("run", "greeter", "hello", "--idempotency-key", "two words").returncode == 2


def test_other_writes_whose_answer_is_lost_are_done_once(door: Door) -> None:
    name = door.direct.ok("run", "greeter", "hello", "--detach").strip()
    manifest = "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: {name: a}\nspec: {model: echo}\n"

    def ask(method: bytes, *arguments: str, stdin: str = "") -> None:
        door.relay.keeps, door.relay.answers_kept = method, 2
        done = door.through(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert len(door.relay.kept) == 2
        door.relay.kept.clear()

    def agents() -> set[str]:
        return {item["metadata"]["name"] for item in door.direct.json("agents", "list")["items"]}

    ask(b"POST ", "apply", "-f", "-", stdin=manifest)
    assert agents() == {"greeter", "a"}
    ask(b"POST ", "executions", "cancel", name)
    assert door.direct.json("executions", "get", name)["status"]["phase"] == "CANCELLED"
    ask(b"DELETE ", "agents", "delete", "a", "--yes")
    assert agents() == {"greeter"}


def test_a_server_that_is_killed_and_comes_back_within_seconds_is_waited_for(door: Door) -> None:
    door.server.kill()
    with Watched(door.through, "run", "greeter", "hello", "--detach") as running:
        running.says("trying again for 15s")
        door.server.spawn()
        assert running.ends() == (0, door.rows()[0]["metadata"]["id"])
    assert len(door.rows()) == 1


def test_what_is_refused_is_not_tried_again(door: Door) -> None:
    began = time.monotonic()
    assert door.through("run", "greeter", "hello", "--require-temporal").returncode == 4
    assert door.through("run", "nobody", "hello").returncode == 5
    assert time.monotonic() - began < 2 * AT_ONCE_S
    assert door.rows() == []


def _interrupted(stigmer: Stigmer) -> tuple[int, str]:
    """Ctrl-C while it tries again: the exit code, and all that it said."""
    with Watched(stigmer, "run", "greeter", "hello", "--detach") as running:
        running.says("trying again")
        running.process.send_signal(signal.SIGINT)
        return running.ends(within_s=10)[0], running.said


def test_ctrl_c_while_trying_again_tells_what_may_have_become_of_it(door: Door) -> None:
    door.relay.answers_kept = NEVER
    code, said = _interrupted(door.through)
    assert code == 130
    assert f"{id_in(said)} may have been accepted; stigmer executions get {id_in(said)}" in said
    door.through.environment["STIGMER_SERVER_URL"] = f"http://127.0.0.1:{free_port()}"
    code, said = _interrupted(door.through)
    assert code == 130
    assert re.search(f"{id_in(said)} (was not|may have been) accepted", said), "as far as can be known"


def test_a_run_that_is_ended_from_outside_says_that_its_execution_goes_on(door: Door) -> None:
    with Watched(door.direct, "run", "greeter", "hello") as running:
        running.says("Temporal")
        (row,) = door.rows()
        running.process.terminate()
        assert running.ends(within_s=10)[0] == 128 + signal.SIGTERM
    name = row["metadata"]["id"]
    assert f"{name} continues; to follow it: stigmer executions watch {name}" in running.said


def test_a_database_that_restarts_is_waited_for_by_who_creates_and_by_who_follows(tmp_path: Path) -> None:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with (
        postgres.running(programs) as cluster,
        cluster.database() as url,
        opened(tmp_path, {"STIGMER_DATABASE_URL": url}) as door,
    ):
        with Watched(door.direct, "run", "greeter", "hello", "--timeout", "12") as following:
            wait_until(lambda: len(door.rows()) == 1, within_s=20)
            cluster.stop()
            with Watched(door.direct, "run", "greeter", "hello", "--detach") as creating:
                creating.says("trying again for 15s")
                cluster.start()
                assert creating.ends() == (0, door.rows()[0]["metadata"]["id"])
            assert following.ends()[0] == 124, following.said
        assert len(door.rows()) == 2


def test_where_no_stack_runs_nothing_is_waited_for(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        (stigmer.home / "token").write_text(TOKEN)
        began = time.monotonic()
        done = stigmer("run", "greeter", "hello")
        assert (done.returncode, "is not running" in flat(done)) == (3, True)
        assert time.monotonic() - began < AT_ONCE_S


@pytest.mark.slow
def test_a_stack_whose_server_is_killed_takes_the_next_run_all_the_same(tmp_path: Path) -> None:
    with installed(tmp_path / "home") as stigmer:
        stigmer.ok("up")
        stigmer.apply_agent()
        for number in range(3):
            stigmer.kill("server")
            done = stigmer("run", "greeter", f"number {number}", "--timeout", "60")
            assert done.returncode == 0, done.stderr
        items = stigmer.json("executions", "list")["items"]
        assert [item["spec"]["message"] for item in items] == ["number 2", "number 1", "number 0"]
