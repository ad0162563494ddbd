"""Twenty secrets, told by a tool server, by a model, and by an error: none of them is anywhere afterwards."""

import asyncio
import json
import sys
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from stigmer_cli.client import Client
from tests.e2e.test_mcp import serving
from tests.support.canaries import CANARIES, leaked_in
from tests.support.installed import Stigmer, installed

SERVER = Path(__file__).parents[1] / "support" / "telling_server.py"


@pytest.fixture
def stigmer(tmp_path: Path) -> Iterator[Stigmer]:
    with installed(tmp_path / "home") as one:
        one.ok("up")
        asyncio.run(_keep_canaries(one))
        yield one


async def _keep_canaries(stigmer: Stigmer) -> None:
    token = (stigmer.home / "token").read_text().strip()
    url = f"http://127.0.0.1:{stigmer.environment['STIGMER_SERVER_PORT']}"
    async with Client(url, lambda: token) as client:
        for number, canary in enumerate(CANARIES):
            await client.set_secret(f"CANARY_{number:02d}", canary)


def agents(folder: Path) -> str:
    """A talker, which repeats what it was told, and one whose model fails with it."""
    talk = [
        {"text": "I look.", "calls": [{"tool": "tell", "arguments": {}}, {"tool": "fail", "arguments": {}}]},
        {"text": "It is " + " and ".join(CANARIES)},
    ]
    broken = [{"calls": [{"tool": "tell", "arguments": {}}]}, {"fail": "the model says " + " and ".join(CANARIES)}]
    env = {f"CANARY_{number:02d}": f"${{secrets.CANARY_{number:02d}}}" for number in range(len(CANARIES))}
    tools = [{"mcp": {"command": [sys.executable, str(SERVER)], "env": env}}]
    documents = []
    for name, turns in (("talker", talk), ("broken", broken)):
        script = folder / f"{name}.yaml"
        script.write_text(yaml.safe_dump(turns, allow_unicode=True))
        spec = {"model": f"script:{script}", "tools": tools}
        documents.append({"apiVersion": "agentic.stigmer.ai/v1", "kind": "Agent", "metadata": {"name": name}})
        documents[-1]["spec"] = spec
    return yaml.safe_dump_all(documents)


def tell_all(stigmer: Stigmer, folder: Path) -> Iterator[tuple[str, str]]:
    """All that the commands print, and all that the home and the bundle hold, each with what it is."""
    for agent in ("talker", "broken"):
        done = stigmer("run", agent, "tell me")
        yield f"run {agent}", done.stdout + done.stderr
    ids = [item["metadata"]["id"] for item in stigmer.json("executions", "list")["items"]]
    commands = [
        ("executions", "list", "-o", "json"),
        ("logs", "--tail", "2000"),
        ("secrets", "list", "-o", "json"),
        ("agents", "list", "-o", "yaml"),
        ("status", "-o", "json"),
        ("doctor", "-o", "json"),
        *(("executions", "get", id_) for id_ in ids),
        *(("executions", "get", id_, "-o", "json") for id_ in ids),
        *(("executions", "get", id_, "--step", str(step), "-o", "json") for id_ in ids for step in (1, 2, 3)),
    ]
    for command in commands:
        done = stigmer(*command)
        yield " ".join(command), done.stdout + done.stderr
    with serving(stigmer) as client:
        client.greet()
        for number, (tool, arguments) in enumerate(
            (("get_execution", {"execution": ids[0]}), ("list_executions", {}), ("logs", {})), start=1
        ):
            client.call(number, tool, **arguments)
            yield f"mcp {tool}", json.dumps(client.receive(), ensure_ascii=False)
    bundle = folder / "bundle.tar.gz"
    stigmer("doctor", "--bundle", str(bundle))
    with tarfile.open(bundle) as archive:
        for member in archive.getmembers():
            found = archive.extractfile(member)
            yield f"bundle {member.name}", found.read().decode("utf-8", "replace") if found else ""
    for path in stigmer.home.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes().decode("utf-8", "replace")


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine: fifty commands
def test_no_canary_is_in_anything_that_a_stack_prints_or_keeps(stigmer: Stigmer, tmp_path: Path) -> None:
    stigmer.ok("apply", "-f", "-", stdin=agents(tmp_path))
    headers = [b64encode(f"user:{canary}".encode()).decode() for canary in CANARIES]
    seen = dict(tell_all(stigmer, tmp_path))
    leaks = {what: leaked_in(text) + [one for one in headers if one in text] for what, text in seen.items()}
    assert {what: found for what, found in leaks.items() if found} == {}
    redacted = [what for what, text in seen.items() if "[redacted]" in text]
    for path in ("run talker", "run broken", "logs --tail 2000", "mcp get_execution"):
        assert path in redacted, "what was told came through here"
    assert any("--step" in what for what in redacted)
    assert any(what.endswith("runner.log") for what in redacted)
