"""`stigmer run` goes on while each process of the stack is killed in turn; nothing is lost, nothing runs twice."""

import json
from collections.abc import Iterator

import pytest

from tests.support.installed import Stigmer, installed

WORDS = " ".join(f"word{number}" for number in range(30))


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    """A stack that is up, with an agent that takes its time."""
    with installed(tmp_path_factory.mktemp("killed") / "home") as one:
        one.ok("up")
        one.apply_agent("slow", model="echo:slow")
        yield one


@pytest.mark.parametrize(
    "part", ["temporal", "runner", *(pytest.param(part, marks=pytest.mark.slow) for part in ("server", "supervisor"))]
)
def test_a_run_survives_the_death_of_any_part(stigmer: Stigmer, part: str) -> None:
    before = stigmer.pids()
    run = stigmer.spawn("run", "slow", WORDS, "-o", "stream-json", "--timeout", "90")
    assert run.stdout is not None
    for line in run.stdout:
        if json.loads(line).get("event", {}).get("type") == "message":
            break  # it is under way
    stigmer.kill(part)
    if part == "supervisor":
        stigmer.ok("up")
    rest, talk = run.communicate(timeout=100)
    assert run.returncode == 0, talk
    resource = json.loads(rest.splitlines()[-1])["execution"]
    assert resource["status"]["phase"] == "COMPLETED"
    assert resource["status"]["epoch"] == 1
    assert resource["status"]["output"].endswith(WORDS)
    assert len(resource["status"]["messages"]) == 1, "a second attempt starts its messages over"
    assert stigmer.pids()[part] != before[part]
    assert stigmer("status").returncode in (0, 1)


def test_up_brings_back_one_dead_part_and_leaves_the_others_alone(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    before = stigmer.pids()
    stigmer.ok("up")
    assert stigmer.pids() == before, "a healthy stack is not touched"
    stigmer.kill("server")
    stigmer.ok("up")
    after = stigmer.pids()
    assert {name for name in before if before[name] != after[name]} == {"server"}


def test_down_leaves_no_process_and_no_port(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    stigmer.ok("down")
    assert stigmer.processes() == []
    assert stigmer("status").returncode == 3
    assert stigmer("down").returncode == 0, "down is idempotent"
    assert stigmer("run", "slow", "hi").returncode == 3


def test_executions_survive_down_and_up(stigmer: Stigmer) -> None:
    stigmer.ok("up")
    stigmer.ok("run", "slow", "kept", "--timeout", "60")
    kept = stigmer.json("executions", "list", "--limit", "1")["items"]
    stigmer.ok("down")
    stigmer.ok("up")
    assert stigmer.json("executions", "list", "--limit", "1")["items"] == kept
