"""`run: container`: the words for the engine, and what is done with a container, by an engine that runs processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.runner.call import container_engine
from stigmer_cli.runner.call.container import ContainerProcess, list_labels, list_words
from stigmer_cli.runner.call.container_engine import ContainerOwner
from stigmer_cli.supervisor.lock import FileLock
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Functions, StepPlace
from tests.support.fakes import ManualClock
from tests.support.polling import eventually
from tests.support.workflows import run_text

ENGINE = f"""#!{sys.executable}
import os, signal, subprocess, sys
from pathlib import Path
kept = Path(__file__).parent
words = sys.argv[1:]
match words[0]:
    case "run":
        name, image = words[words.index("--name") + 1], words.index("tiny")
        if words[image - 2] != "--entrypoint":
            print("no such image", file=sys.stderr)
            sys.exit(125)
        if (kept / f"{{name}}.container").exists():
            print(f"the name {{name}} is already in use", file=sys.stderr)
            sys.exit(125)
        names = [words[at + 1] for at, word in enumerate(words) if word == "--env"]
        env = {{"PATH": "/usr/bin:/bin"}} | {{name: os.environ[name] for name in names}}
        # As with a real engine, the container does not hold the pipes of the client.
        process = subprocess.Popen(
            [words[image - 1], *words[image + 1:]], env=env, start_new_session=True, stdout=-1, stderr=-1
        )
        (kept / f"{{name}}.new").write_text(f"{{process.pid}} {{' '.join(words)}}")
        (kept / f"{{name}}.new").rename(kept / f"{{name}}.container")
        if "--detach" in words:
            print("0123456789ab")
            sys.exit(0)
        for stream, text in zip((sys.stdout, sys.stderr), process.communicate()):
            stream.write(text.decode())
        sys.exit(process.returncode)
    case "rm":
        for name in words[2:]:
            file = kept / f"{{name}}.container"
            try:
                os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)
            except ProcessLookupError:
                pass
            file.unlink()
    case "ps":
        filters = [words[at + 1] for at, word in enumerate(words) if word == "--filter"]
        labels = [one.removeprefix("label=") for one in filters if one.startswith("label=")]
        states = [one.removeprefix("status=") for one in filters if one.startswith("status=")]
        for file in kept.glob("*.container"):
            pid, _, text = file.read_text().partition(" ")
            try:
                os.kill(int(pid), 0)
                state = "running" if " Z " not in Path(f"/proc/{{pid}}/stat").read_text() else "exited"
            except OSError:
                state = "exited"
            if all(one in text for one in labels) and (not states or state in states):
                print(file.stem)
    case "inspect":
        for name in words[3:]:
            text = (kept / f"{{name}}.container").read_text()
            print(name, text.partition("remove-at=")[2].split()[0])
"""


PLACE = StepPlace(execution="wex-1", key="/do/0/a")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    program = tmp_path / "docker"
    program.write_text(ENGINE)
    program.chmod(0o755)
    return tmp_path


def _list_containers(engine: Path) -> list[str]:
    return sorted(file.stem for file in engine.glob("*.container"))


def _settings(**more: Json) -> Mapping[str, Json]:
    return {"image": "tiny", "name": "one", **more}


async def _perform(engine: Path, settings: Mapping[str, Json], clock: Any = None) -> Any:
    environ = {"PATH": str(engine), "SECRET": "s"}
    return await ContainerProcess(environ, clock or SystemClock()).perform(settings, PLACE)


def test_the_engine_is_told_what_the_task_says_and_no_value_of_a_variable() -> None:
    settings: Mapping[str, Json] = {
        "image": "alpine:3",
        "arguments": ["a b", 1],
        "environment": {"TOKEN": "secret", "PATH": "/own"},
        "ports": {"8080": 80},
        "volumes": {"/srv": "/data"},
        "stdin": "x",
        "pullPolicy": "always",
        "lifetime": {"cleanup": "eventually", "after": {"minutes": 1}},
    }
    assert " ".join(list_words(settings, "n", ["a=1", "b=2"])) == (
        "run --name n --pull always --label a=1 --label b=2 --interactive --env TOKEN --env PATH=/own"
        " --publish 8080:80 --volume /srv:/data alpine:3 a b 1"
    )
    assert list_labels(settings, PLACE, 100, "p1") == [
        "stigmer.workflow=1",
        "stigmer.perform=p1",
        "stigmer.execution=wex-1",
        "stigmer.step=/do/0/a",
        "stigmer.cleanup=eventually",
        "stigmer.remove-at=160",
    ]
    with_command = list_words({"image": "i", "command": "echo $1", "arguments": ["x"]}, "n", [])
    assert with_command[-7:] == ["--entrypoint", "/bin/sh", "i", "-c", "echo $1", "sh", "x"]


async def test_a_container_has_its_input_and_its_own_environment_only(engine: Path) -> None:
    settings = _settings(
        command="cat; echo $1 $OWN; env | cut -d= -f1 | sort | tr '\\n' ' '; exit 3",
        arguments=["one"],
        environment={"OWN": "own", "NONE": None},
        stdin="in,",
    )
    left = await _perform(engine, settings)
    assert (left["code"], left["stdout"].split("\n")[0]) == (3, "in,one own")
    assert "SECRET" not in left["stdout"]
    assert "NONE" not in left["stdout"]
    assert _list_containers(engine) == ["one"], "without cleanup a container is kept"


async def test_a_container_is_removed_at_its_end_or_later(engine: Path) -> None:
    clock = ManualClock()
    await _perform(engine, _settings(command="true", lifetime={"cleanup": "always"}))
    assert _list_containers(engine) == []
    later: Json = {"cleanup": "eventually", "after": {"seconds": 60}}
    await _perform(engine, _settings(command="true", lifetime=later), clock)
    await clock.advance(59)
    await _perform(engine, _settings(command="true", name="two"), clock)
    assert _list_containers(engine) == ["one", "two"]
    await clock.advance(2)
    await _perform(engine, _settings(command="true", name="three"), clock)
    assert _list_containers(engine) == ["three", "two"]


async def test_a_container_that_is_not_awaited_is_started_and_goes_on_when_its_runner_is_killed(
    engine: Path, evaluator: Evaluator
) -> None:
    process = ContainerProcess({"PATH": str(engine)}, SystemClock(), is_detached=True)
    detached = Functions(detached={"container": process})
    run = "{await: false, container: {image: tiny, name: one, command: sleep 60, lifetime: {cleanup: always}}}"
    output = await run_text(evaluator, f"do: [{{a: {{run: {run}}}}}]", {"n": 1}, functions=detached)
    assert output == {"n": 1}, "it is its input"
    pid, *words = (engine / "one.container").read_text().split()
    assert _is_alive(int(pid))
    assert {"--detach", "--rm"} <= set(words), "the engine itself removes it when it has ended"
    assert "stigmer.runner" not in " ".join(words), "it does not end with its runner"
    os.killpg(int(pid), signal.SIGKILL)
    run = "{await: false, container: {image: tiny, name: one, command: 'true'}}"
    with pytest.raises(WorkflowError, match="the name one is already in use"):
        await run_text(evaluator, f"do: [{{a: {{run: {run}}}}}]", {}, functions=detached)


async def test_a_task_that_is_cancelled_leaves_no_container(engine: Path) -> None:
    task = asyncio.ensure_future(_perform(engine, _settings(command="sleep 60")))
    await eventually(lambda: _look(is_so=(engine / "one.container").exists()), within_s=20)
    pid = int((engine / "one.container").read_text().split()[0])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _list_containers(engine) == []
    await eventually(lambda: _look(is_so=not _is_alive(pid)), within_s=10)


async def test_a_container_of_somebody_else_with_the_same_name_is_left_alone(engine: Path) -> None:
    task = asyncio.ensure_future(_perform(engine, _settings(command="sleep 60")))
    await eventually(lambda: _look(is_so=(engine / "one.container").exists()), within_s=20)
    with pytest.raises(WorkflowError, match="the name one is already in use"):
        await _perform(engine, _settings(command="true", lifetime={"cleanup": "always"}))
    assert _list_containers(engine) == ["one"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


RUNNER = """
import asyncio, json, sys
from pathlib import Path
from stigmer_cli.clock import SystemClock
from stigmer_cli.runner.call.container import ContainerProcess
from stigmer_cli.runner.call.container_engine import ContainerOwner
from stigmer_cli.workflow.runtime import StepPlace
owner = ContainerOwner(Path(sys.argv[1]))
container = ContainerProcess({"PATH": sys.argv[2]}, SystemClock(), owner=owner)
place = StepPlace(execution="wex-1", key="/do/0/a")
asyncio.run(container.perform(json.loads(sys.argv[3]), place))
"""


def _start_runner(run: Path, engine: Path, settings: Mapping[str, Json]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RUNNER, str(run), str(engine), json.dumps(settings)])


async def test_the_next_runner_removes_what_a_killed_one_left_and_nothing_of_others(
    engine: Path, tmp_path: Path
) -> None:
    """A runner of the same home that lives, and one of another home, keep theirs, and so does what has ended."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for run in (mine, other):
        run.mkdir()
    killed, living, stranger = (
        _start_runner(run, engine, _settings(name=name, command="sleep 60"))
        for run, name in ((mine, "killed"), (mine, "living"), (other, "stranger"))
    )
    runners = [killed, living, stranger]
    try:
        await _perform(engine, _settings(name="ended", command="true"))
        names = {"killed", "living", "stranger", "ended"}
        await eventually(lambda: _look(is_so=set(_list_containers(engine)) == names), within_s=30)
        pid = int((engine / "killed.container").read_text().split()[0])
        environ = {"PATH": str(engine)}
        await ContainerOwner(mine).remove_left(environ, str(engine))
        assert set(_list_containers(engine)) == names, "all of them live"
        killed.kill()
        killed.wait()
        stranger.kill()
        stranger.wait()
        assert _is_alive(pid), "the container goes on"
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "docker").write_text("#!/bin/sh\nexit 1\n")
        (broken / "docker").chmod(0o755)
        await ContainerOwner(mine).remove_left({"PATH": str(broken)}, str(broken))
        assert set(_list_containers(engine)) == names, "an engine that does not answer is asked again later"
        await ContainerOwner(mine).remove_left(environ, str(engine))
        assert set(_list_containers(engine)) == names - {"killed"}
        await eventually(lambda: _look(is_so=not _is_alive(pid)), within_s=10)
        assert len(list((mine / "containers").iterdir())) == 1, "of the runner that lives"
        await ContainerOwner(other).remove_left(environ, str(engine))
        assert set(_list_containers(engine)) == {"living", "ended"}
    finally:
        for runner in runners:
            runner.kill()
            runner.wait()
        for run in (mine, other):
            await ContainerOwner(run).remove_left({"PATH": str(engine)}, str(engine))
    assert _list_containers(engine) == ["ended"]


def test_a_runner_whose_new_file_another_one_takes_for_that_of_a_killed_one_holds_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [uuid.UUID(int=1), uuid.UUID(int=2)]
    monkeypatch.setattr(container_engine, "uuid4", lambda: names.pop(0))
    (tmp_path / "containers").mkdir()
    other = FileLock(tmp_path / "containers" / names[0].hex)
    assert other.acquire()
    try:
        owner = ContainerOwner(tmp_path)
        owner.hold()
        assert owner.labels == [f"stigmer.runner={uuid.UUID(int=2).hex}"]
    finally:
        other.release()


async def _look(*, is_so: bool) -> bool | None:
    return is_so or None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_an_engine_that_cannot_run_it_or_is_not_there_says_so(engine: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="the container cannot be run: no such image"):
        await _perform(engine, _settings())
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(WorkflowError, match="there is neither docker nor podman in"):
        await _perform(empty, _settings())
