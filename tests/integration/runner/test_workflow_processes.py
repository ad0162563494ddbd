"""`run: shell` and `run: script`: real processes, what they get, and how they end."""

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from stigmer_cli.runner.call.process import USUAL_PATH, ScriptProcess, ShellProcess
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Functions
from tests.support.polling import until_true
from tests.support.workflows import run_text

PROCESSES = Functions(processes={"shell": ShellProcess(), "script": ScriptProcess()})
PYTHON = "import os, sys; print(sys.argv[1:], sys.stdin.read(), sorted(os.environ))"


async def _shell(**settings: Json) -> Any:
    return await ShellProcess().perform(settings)


async def test_a_command_has_its_arguments_its_input_and_only_its_own_environment() -> None:
    found = await _shell(
        command='read line; echo "$line|$1|$2|$NAME"; env | sort >&2; exit 3',
        stdin="Hello",
        arguments=["a b", 2],
        environment={"NAME": "Ada", "NONE": None},
    )
    assert (found["code"], found["stdout"]) == (3, "Hello|a b|2|Ada\n")
    names = {line.partition("=")[0] for line in found["stderr"].splitlines()}
    assert {"NAME", "PATH"} <= names <= {"NAME", "PATH", "PWD", "SHLVL", "_", "OLDPWD"}


async def test_what_a_task_runs_knows_for_which_execution(evaluator: Evaluator) -> None:
    assert await _run(evaluator, "echo $STIGMER_EXECUTION_ID", "stdout") == "wex-1\n"


async def test_a_script_is_run_by_its_language() -> None:
    settings: dict[str, Json] = {"language": "python", "code": PYTHON, "arguments": ["x"], "stdin": {"n": 1}}
    found: Any = await ScriptProcess().perform(settings)
    assert found["stdout"].startswith("['x'] {\"n\":1} [")
    assert found["code"] == 0
    if shutil.which("node", path=USUAL_PATH):
        code = "const [_, __, a] = process.argv; console.log(a)"
        found = await ScriptProcess().perform({"language": "js", "code": code, "arguments": ["y"]})
        assert found["stdout"] == "y\n"
    with pytest.raises(WorkflowError, match="no script of the language perl"):
        await ScriptProcess().perform({"language": "perl", "code": "1"})


async def test_the_output_is_what_return_says(evaluator: Evaluator) -> None:
    command = "echo out; echo err >&2; exit 0"
    outputs = {form: await _run(evaluator, command, form) for form in ("stdout", "stderr", "code", "none", "all")}
    assert outputs == {
        "stdout": "out\n",
        "stderr": "err\n",
        "code": 0,
        "none": None,
        "all": {"code": 0, "stdout": "out\n", "stderr": "err\n"},
    }
    assert await _run(evaluator, "exit 4", "code") == 4
    with pytest.raises(WorkflowError, match="the shell ended with code 4: sold out"):
        await _run(evaluator, "echo sold out >&2; exit 4", "stdout")


async def _run(evaluator: Evaluator, command: str, form: str) -> Json:
    text = f"do: [{{a: {{run: {{shell: {{command: '{command}'}}, return: {form}}}}}}}]"
    return await run_text(evaluator, text, {}, functions=PROCESSES)


async def test_what_a_process_started_ends_with_its_task(tmp_path: Path, evaluator: Evaluator) -> None:
    file = tmp_path / "pid"
    command = f"sleep 60 & echo $! > {file}; wait"
    text = f"do: [{{a: {{run: {{shell: {{command: '{command}'}}}}, timeout: {{after: PT0.5S}}}}}}]"
    with pytest.raises(WorkflowError, match="not done within"):
        await run_text(evaluator, text, {}, functions=PROCESSES)
    pid = int(file.read_text())
    await until_true(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


async def test_a_process_ends_with_what_it_started_when_its_runner_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = f"sleep 60 & echo $! > {file}; wait"
    code = (
        "import asyncio, sys\n"
        "from stigmer_cli.runner.call.process import ShellProcess\n"
        "asyncio.run(ShellProcess().perform({'command': sys.argv[1]}))"
    )
    runner = await asyncio.create_subprocess_exec(sys.executable, "-c", code, command)
    await until_true(lambda: file.is_file() and file.read_text().strip().isdecimal())
    pid = int(file.read_text())
    runner.kill()
    await runner.wait()
    await until_true(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


async def test_what_a_process_writes_to_standard_error_is_heard_as_it_comes() -> None:
    heard: list[str] = []
    process = ShellProcess(hear=heard.append)
    command = "printf 'one\\n\\ntw' >&2; printf 'o\\n' >&2; printf 'last' >&2; yes x | head -600 >&2"
    found: Any = await process.perform({"command": command})
    assert heard[:2] == ["one", "two"]
    assert heard[2] == "lastx"
    assert len(heard) == 500
    assert found["stderr"].count("x") == 600
    assert "ipe" not in found["stderr"], "a command whose reader has gone ends, and does not complain"


async def test_the_name_of_a_variable_has_no_comma() -> None:
    with pytest.raises(WorkflowError, match="has no comma"):
        await _shell(command="env", environment={"A,B": "1"})


async def test_a_process_that_writes_without_an_end_is_ended() -> None:
    async with asyncio.timeout(30):
        with pytest.raises(WorkflowError, match="more than 2,097,152 bytes to standard output"):
            await _shell(command="yes")


async def test_a_process_that_does_not_read_its_input_is_no_error() -> None:
    found = await _shell(command="exit 0", stdin="x" * 1_000_000)
    assert found["code"] == 0


async def test_what_a_process_left_behind_holds_its_pipes_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stigmer_cli.runner.call.process.HELD_S_MAX", 0.1)
    async with asyncio.timeout(30):
        found = await _shell(command="sleep 600 & echo said; exit 4")
    assert (found["code"], found["stdout"]) == (4, "said\n")


async def test_a_script_that_cannot_be_written_is_an_error_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(WorkflowError, match="the script cannot be written to a temporary file"):
        await ScriptProcess().perform({"language": "python", "code": "1"})
