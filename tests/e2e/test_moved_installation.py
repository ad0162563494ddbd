"""An installation that is moved, removed or upgraded under its stack: seen, named, replaced by `stigmer restart`."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from stigmer_cli.running_version import RUNNING_VERSION
from tests.support import stub_openai
from tests.support.installed import Stigmer, installed
from tests.support.polling import wait_until
from tests.support.second_installation import SecondInstallation

pytestmark = pytest.mark.slow
OTHER = "0.0.7"


@pytest.fixture
def other(tmp_path: Path) -> SecondInstallation:
    return SecondInstallation(tmp_path / "venv", version=OTHER)


@pytest.fixture
def stigmer(tmp_path: Path) -> Iterator[Stigmer]:
    with installed(tmp_path / "home") as one:
        yield one


def start(stigmer: Stigmer, other: SecondInstallation, *arguments: str, **variables: str) -> None:
    """`stigmer up`, or `arguments`, typed with the other installation."""
    command = [other.command, *(arguments or ("up",))]
    subprocess.run(
        command, env={**stigmer.environment, **variables}, check=True, timeout=60, capture_output=True, text=True
    )


def judged(stigmer: Stigmer, code: str) -> Mapping[str, Any]:
    """What doctor finds, once the machine has given it the time to judge."""
    found: list[Mapping[str, Any]] = []

    def is_judged() -> bool:
        checks = stigmer.json("doctor")["checks"]
        found[:] = [one for one in checks if one["code"] == code]
        return bool(found[0]["result"] != "skip")

    wait_until(is_judged, f"{code} is judged", within_s=90)
    return found[0]


def version_of_server(stigmer: Stigmer) -> str:
    token = (stigmer.home / "token").read_text().strip()
    url = f"http://127.0.0.1:{stigmer.environment['STIGMER_SERVER_PORT']}/v1/health"
    found = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=20)
    return str(found.json()["version"])


def gone(other: SecondInstallation, parts: str) -> str:
    return f"{other.python} ({parts})"


def state_of(stigmer: Stigmer, name: str) -> Mapping[str, Any]:
    return next(part for part in stigmer.json("status")["parts"] if part["name"] == name)


def test_a_stack_works_on_without_its_installation_and_restart_replaces_it_part_by_part(
    stigmer: Stigmer, other: SecondInstallation
) -> None:
    start(stigmer, other)
    stigmer.ok("agents", "list")  # the server has its routes now, at the latest
    other.move()

    # Server and runner have loaded what they need: nothing waits, nothing fails.
    stigmer.apply_agent()
    assert "hello" in stigmer.ok("run", "greeter", "hello")
    told = stigmer("status")
    assert gone(other, "server, runner") in " ".join(told.stdout.split())
    assert told.stdout.rstrip().endswith("hint: stigmer restart")
    again = stigmer("up")
    assert again.returncode == 0
    assert "hint: stigmer restart" in again.stderr
    found = judged(stigmer, "STG127")
    assert (found["result"], found["hint"]) == ("warn", "stigmer restart")
    assert set(found["evidence"]["gone"]) == {"temporal", "server", "runner"}

    before = stigmer.pids()
    for part in ("server", "runner", "temporal"):
        stigmer.ok("restart", part)
    assert judged(stigmer, "STG127")["result"] == "pass"
    assert version_of_server(stigmer) == RUNNING_VERSION
    assert stigmer.pids()["supervisor"] == before["supervisor"]
    assert "hello" in stigmer.ok("run", "greeter", "hello")
    stigmer.ok("down")


def test_a_part_that_ends_is_named_with_its_program_and_restart_brings_it_back(
    stigmer: Stigmer, other: SecondInstallation
) -> None:
    start(stigmer, other)
    other.move()
    stigmer.kill("server")
    wait_until(lambda: state_of(stigmer, "server")["state"] == "failed", "the supervisor gives it up")
    why = f"could not be started: its program {other.python} is gone: it was moved, removed or upgraded"
    assert state_of(stigmer, "server")["detail"] == why
    found = judged(stigmer, "STG106")
    assert (found["message"], found["hint"]) == (f"server does not run: {why}", "stigmer restart")
    fixed = stigmer("doctor", "--fix")
    assert "its supervisor has only the old path of its program: type stigmer restart" in " ".join(fixed.stdout.split())
    stigmer.ok("restart")
    assert judged(stigmer, "STG127")["result"] == "pass"


def test_up_of_another_installation_brings_a_part_back_that_ended(stigmer: Stigmer, other: SecondInstallation) -> None:
    start(stigmer, other)
    shutil.rmtree(other.folder)
    stigmer.kill("runner")
    wait_until(lambda: state_of(stigmer, "runner")["state"] == "failed", "the supervisor gives it up")
    stigmer.ok("up")
    assert state_of(stigmer, "runner")["state"] == "running"
    assert set(judged(stigmer, "STG127")["evidence"]["gone"]) == {"temporal", "server"}


def test_an_upgrade_at_the_same_place_is_told_by_up_and_the_restarted_part_is_the_new_one(
    stigmer: Stigmer, other: SecondInstallation
) -> None:
    start(stigmer, other)
    told = stigmer("up")
    assert f"the server that runs is {OTHER}, and this command is {RUNNING_VERSION}" in told.stderr
    shutil.rmtree(other.folder)
    upgraded = SecondInstallation(other.folder, version="0.0.8")
    stigmer.kill("server")
    wait_until(lambda: state_of(stigmer, "server")["state"] == "running", "its supervisor has started it again")
    assert version_of_server(stigmer) == "0.0.8"
    start(stigmer, upgraded, "restart", "runner")
    log = (stigmer.home / "logs" / "runner.log").read_text()
    assert f"/{OTHER}" in log
    assert "/0.0.8" in log


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_runner_that_cannot_load_a_module_hands_its_work_back_and_ends(
    stigmer: Stigmer, other: SecondInstallation, *, is_replaced: bool
) -> None:
    with stub_openai.answering() as models:
        keys = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": models.url}
        stigmer.environment.update(keys)
        start(stigmer, other)
        stigmer.apply_agent("clever", "openai:m")
        library = next(other.folder.glob("lib/*/site-packages")) / "pydantic_ai"
        shutil.rmtree(other.folder)
        if is_replaced:  # but for a library, as an upgrade does for a moment
            SecondInstallation(other.folder, version="0.0.8")
            library.rename(library.with_name("parked"))
        name = stigmer.ok("run", "clever", "hello", "--detach").strip()
        log = stigmer.home / "logs" / "runner.log"
        wait_until(lambda: '"installation_changed"' in log.read_text(), "the runner has found out")
        assert log.read_text().count('"installation_changed"') == 1
        if is_replaced:  # its supervisor starts the runner from the new one
            library.with_name("parked").rename(library)
        else:
            wait_until(lambda: state_of(stigmer, "runner")["state"] == "failed", "its supervisor gives it up")
            assert json.loads(stigmer.ok("executions", "get", name, "-o", "json"))["status"]["phase"] != "FAILED"
            stigmer.ok("restart")
        done = stigmer.ok("executions", "watch", name)
        assert "the answer" in done
        status = json.loads(stigmer.ok("executions", "get", name, "-o", "json"))["status"]
        assert status["phase"] == "COMPLETED"
