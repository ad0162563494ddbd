"""Many orphans, and a reconcile that is interrupted and killed: the next one goes on, and each has one effect."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installed import Stigmer, collect, installed
from tests.support.orphans import Orphanage
from tests.support.polling import wait_until
from tests.support.running_server import TOKEN
from tests.support.temporal_server import DevServer


class Many(Orphanage):
    """Orphans, and the installed command to bring them back."""

    def __init__(self, home: Path, temporal: DevServer) -> None:
        super().__init__(home, temporal)
        settings = {
            "STIGMER_SERVER_URL": self.server.url,
            "STIGMER_TOKEN": TOKEN,
            "STIGMER_TEMPORAL_ADDRESS": temporal.address,
        }
        self.stigmer = Stigmer(home, settings)

    def spawn(self) -> "subprocess.Popen[str]":
        """A reconcile under way, told of as stream-json."""
        return self.stigmer.spawn("executions", "reconcile", "--yes", "--wait=60", "-o", "stream-json")


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Many]:
    home = tmp_path / "home"
    with DevServer(tmp_path) as temporal, installed(home) as _cleaner:
        one = Many(home, temporal.start())
        try:
            yield one
        finally:
            one.server.kill()


def _first_item(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    assert isinstance(line, dict)
    return line


def _end(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What is left on both streams: `communicate` would lose what `readline` has read ahead."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        rest, talk = process.stdout.read(), process.stderr.read()
    process.wait(timeout=30)
    return rest, talk


def _told(first: dict[str, Any], rest: str) -> tuple[list[str], dict[str, Any]]:
    """The ids told as resubmitted, and the last line."""
    lines = [first, *map(json.loads, rest.splitlines())]
    items = [line["item"] for line in lines if "item" in line]
    return [item["id"] for item in items if item["outcome"] == "resubmitted"], lines[-1]


def _interrupt(many: Many, number: int) -> None:
    """Ctrl-C: what was done is told, truly, and that it is not all."""
    process = many.spawn()
    first = _first_item(process)
    process.send_signal(signal.SIGINT)
    rest, talk = _end(process)
    assert process.returncode == 130, talk
    assert "the next reconcile continues from there" in talk
    assert talk.splitlines()[-1] == "interrupted"
    told, last = _told(first, rest)
    assert last["complete"] is False
    assert last["summary"]["resubmitted"] == len(told) < number
    assert set(told) <= set(many.timelines("orphaned"))


def _kill(many: Many) -> None:
    process = many.spawn()
    first = _first_item(process)
    process.kill()
    rest, _talk = _end(process)
    told, _last = _told(first, "\n".join(line for line in rest.splitlines() if line.endswith("}")))
    assert set(told) <= set(many.timelines("orphaned"))


def _leave(many: Many, number: int) -> None:
    """Its reader leaves after the first line: the rest is done all the same."""
    stigmer = many.stigmer
    subprocess.run(
        ["sh", "-c", '"$0" executions reconcile --yes --wait=60 -o stream-json | head -n 1', stigmer.command],
        env=stigmer.environment,
        capture_output=True,
        timeout=90,
        check=True,
    )
    assert many.timelines("orphaned") == dict.fromkeys(many.timelines("accepted"), 1)
    assert len(many.timelines("accepted")) == number


def _finish(many: Many, number: int) -> None:
    process = many.spawn()
    result, talk = process.communicate(timeout=90)
    assert process.returncode == 0, talk
    assert json.loads(result.splitlines()[-1])["complete"] is True
    assert json.loads(many.stigmer.ok("executions", "reconcile", "--yes", "--wait=60", "-o", "json"))["items"] == []
    assert many.timelines("orphaned") == dict.fromkeys(many.timelines("accepted"), 1)
    assert len(many.timelines("accepted")) == number


def _perform(many: Many, number: int) -> None:
    """A runner comes at last: each execution has one effect."""
    stigmer = many.stigmer
    with (stigmer.home / "runner.log").open("ab") as log:
        runner = subprocess.Popen([stigmer.command, "work"], env=stigmer.environment, stdout=log, stderr=log, text=True)
    try:
        wait_until(lambda: len(many.timelines("completed")) == number, within_s=75 + number / 6)
    finally:
        collect(runner)
    assert set(many.timelines("claimed").values()) == {1}
    assert set(many.timelines("completed").values()) == {1}
    assert many.timelines("message").keys() == many.timelines("accepted").keys(), "each has its answer"


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(150, marks=pytest.mark.timeout(240)),
        pytest.param(1000, marks=pytest.mark.timeout(480)),
    ],
)
async def test_interrupted_and_killed_the_next_reconcile_goes_on_and_each_has_one_effect(
    many: Many, number: int
) -> None:
    await many.make_orphans(number)
    _interrupt(many, number)
    _kill(many)
    _leave(many, number)
    _finish(many, number)
    _perform(many, number)


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_a_server_killed_in_the_middle_leaves_its_lease_to_the_next(many: Many) -> None:
    await many.make_orphans(1000)
    process = many.stigmer.spawn("executions", "reconcile", "--yes", "-o", "stream-json")
    first = _first_item(process)
    many.server.kill()
    rest, talk = _end(process)
    assert process.returncode == 4, talk
    assert "cannot be reached" in talk
    told, last = _told(first, rest)
    assert last["complete"] is False
    assert last["summary"]["resubmitted"] == len(told)
    assert set(told) <= set(many.timelines("orphaned"))
    await many.server.start()
    _finish(many, 1000)
    _perform(many, 1000)
