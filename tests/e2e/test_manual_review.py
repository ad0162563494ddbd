"""The complete example of the manual, as it stands there: two agents, a runner that dies, and an approval."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stigmer_cli.cli.help.topics import read_page
from tests.support.installed import Stigmer, installed
from tests.support.manual_files import write_files
from tests.support.polling import wait_until

GIVEN = '{"pr": 17, "diff": "return sum(x) / len(x)"}'
SAID = re.compile(r"^```\n(\{.*?^\})\n", re.MULTILINE | re.DOTALL)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stigmer]:
    """A stack with what the page has one apply."""
    with installed(tmp_path / "home") as one:
        one.directory = tmp_path
        write_files("review", tmp_path)
        one.ok("up")
        one.ok("apply", "-f", "agents.yaml", "-f", "review.yaml")
        yield one


def _waits_for(stack: Stigmer, id_: str) -> str:
    waiting = stack.json("executions", "get", id_)["status"].get("waiting")
    return str(waiting["for"]) if waiting else ""


def _decide(stack: Stigmer, id_: str, **data: str) -> None:
    stack.ok("events", "emit", "review.decided", "--data", json.dumps({"execution": id_, **data}))


@pytest.mark.slow
def test_the_review_of_the_manual_goes_on_without_its_runner_and_is_decided_by_an_event(stack: Stigmer) -> None:
    approved, denied = (stack.ok("run", "review", "--input", GIVEN, "-d").strip() for _ in range(2))
    wait_until(lambda: _waits_for(stack, denied) != "", within_s=60)
    stack.kill("runner")
    for id_ in (approved, denied):
        wait_until(lambda id_=id_: _waits_for(stack, id_) == "event", within_s=120)  # type: ignore[misc]
    cause = stack.json("executions", "get", denied)["status"]["waiting"]["cause"]
    assert cause == f"approval listens for review.decided events whose data.execution is {denied}"

    _decide(stack, denied, verdict="no", reason="it divides by zero")
    seen = stack("executions", "watch", denied)
    assert (seen.returncode, "FAILED: The review was denied: it divides by zero (at /do/4/refuse)" in seen.stderr) == (
        1,
        True,
    )
    _decide(stack, approved, verdict="yes")
    [said] = SAID.findall(read_page("review"))
    assert json.loads(stack.ok("executions", "watch", approved)) == json.loads(said)
