"""An agent with a server of tools that nobody here wrote: killed, emptied, paused and resumed, it commits once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.installed import Stigmer, frozen, installed
from tests.support.polling import wait_until

GIT = [sys.executable, "-m", "mcp_server_git"]


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    with installed(tmp_path_factory.mktemp("foreign") / "home", {"STIGMER_MODEL_RETRY_FOR": "2s"}) as one:
        one.ok("up")
        yield one


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for arguments in (["init", "-q"], ["config", "user.name", "a"], ["config", "user.email", "a@example.com"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    (tmp_path / "notes").write_text("hello")
    subprocess.run(["git", "-C", str(tmp_path), "add", "notes"], check=True)
    return tmp_path


def commits(repository: Path) -> list[str]:
    told = subprocess.run(
        ["git", "-C", str(repository), "log", "--format=%s"], check=False, capture_output=True, text=True
    )
    return told.stdout.splitlines()


def apply(stigmer: Stigmer, folder: Path, name: str, command: list[str], *turns: dict[str, Any]) -> None:
    (folder / f"{name}-script.yaml").write_text(yaml.safe_dump(list(turns)))
    spec = {"model": f"script:{name}-script.yaml", "tools": [{"mcp": {"command": command}}]}
    manifest = {"apiVersion": "agentic.stigmer.ai/v1", "kind": "Agent", "metadata": {"name": name}, "spec": spec}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(manifest))
    stigmer.ok("apply", "-f", str(folder / f"{name}.yaml"))


def call(tool: str, **arguments: object) -> dict[str, Any]:
    return {"calls": [{"tool": tool, "arguments": arguments}]}


@pytest.mark.slow
def test_a_commit_is_made_once_though_the_runner_is_killed_and_temporal_forgets_everything(
    stigmer: Stigmer, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = {"repo_path": str(repository)}
    turns = [call("git_commit", **where, message="one"), {**call("git_log", **where), "delay": 6}, {"text": "Done."}]
    apply(stigmer, tmp_path_factory.mktemp("agents"), "keeper", GIT, *turns)
    run = stigmer.spawn("run", "keeper", "go", "-o", "json", "--timeout", "110")
    wait_until(lambda: commits(repository) == ["one"], within_s=60)
    pids = stigmer.pids()
    with frozen(pids["supervisor"]):
        os.kill(pids["runner"], signal.SIGKILL)
        os.kill(pids["temporal"], signal.SIGKILL)
        for file in (stigmer.home / "data").glob("temporal.db*"):
            file.unlink()
    rest, talk = run.communicate(timeout=120)
    assert run.returncode == 0, talk
    status = json.loads(rest)["status"]
    assert (status["phase"], status["output"]) == ("COMPLETED", "Done.")
    assert commits(repository) == ["one"]


@pytest.mark.slow
def test_a_server_that_is_not_there_pauses_and_goes_on_with_the_corrected_manifest(
    stigmer: Stigmer, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("agents")
    turns = [call("git_commit", repo_path=str(repository), message="one"), {"text": "Done."}]
    apply(stigmer, folder, "mender", ["no-such-server"], *turns)
    run = stigmer("run", "mender", "go", "--timeout", "60")
    assert run.returncode == 1
    assert "cannot start no-such-server" in run.stderr
    name = stigmer.json("executions", "list", "--waiting")["items"][0]["metadata"]["id"]
    assert f"stigmer executions resume {name}" in run.stderr
    waiting = stigmer.json("executions", "get", name)["status"]["waiting"]
    assert waiting["for"] == "tool-server"
    apply(stigmer, folder, "mender", GIT, *turns)
    stigmer.ok("executions", "resume", name)
    wait_until(lambda: stigmer.json("executions", "get", name)["status"]["phase"] == "COMPLETED", within_s=60)
    assert commits(repository) == ["one"]
