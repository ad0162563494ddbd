"""The scripted model: which turn it plays, and how what is wrong with its file is told."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from stigmer_cli.api.reports import Work
from stigmer_cli.api.sessions import ExchangeBody
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.errors import ConfigError
from stigmer_cli.runner.model.script import ScriptedModel
from stigmer_cli.runner.model.script_file import read_script
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.running_version import InstallationChanged
from tests.support.fakes_temporal import LoopClock


class NotingClock(LoopClock):
    """Sleeps not at all, and notes how long it was to."""

    def __init__(self) -> None:
        super().__init__()
        self.slept_s = 0.0

    async def sleep(self, delay_s: float) -> None:
        self.slept_s += delay_s


def _script(folder: Path, text: str) -> Path:
    path = folder / "script.yaml"
    path.write_text(text)
    return path


async def _answer(path: Path) -> tuple[list[object], float]:
    clock = NotingClock()
    work = Work(instructions="", message="hi", model="script:x", agent_name="a")
    said: list[object] = [part async for part in ScriptedModel(path, clock=clock).stream(work)]
    return said, clock.slept_s


def _failure(path: Path) -> str:
    with pytest.raises(ModelFailed) as caught:
        asyncio.run(_answer(path))
    return caught.value.message


def test_the_first_turn_answers_after_its_delay_with_its_usage(tmp_path: Path) -> None:
    path = _script(
        tmp_path, "- {text: one two, delay: 2.5, usage: {inputTokens: 3, outputTokens: 4}}\n- {text: later}\n"
    )
    said, took_s = asyncio.run(_answer(path))
    assert said == ["one two", TokenUsage(model="script:x", input_tokens=3, output_tokens=4)]
    assert took_s == 2.5


async def _say_in_session(path: Path, *turns: int) -> list[object]:
    said = [ExchangeBody(execution="aex-1", message="q", output="a", turns=count) for count in turns]
    work = Work(instructions="", message="hi", model="script:x", agent_name="a", conversation=said)
    return [part async for part in ScriptedModel(path, clock=NotingClock()).stream(work)]


def test_in_a_session_the_script_goes_on_with_its_next_turn(tmp_path: Path) -> None:
    path = _script(tmp_path, "- {text: one}\n- {text: two}\n- {text: three}\n- {text: four}\n")
    assert asyncio.run(_say_in_session(path, 1)) == ["two"]
    assert asyncio.run(_say_in_session(path, 1, 2)) == ["four"]


def test_a_turn_that_fails_says_its_own_sentence(tmp_path: Path) -> None:
    assert _failure(_script(tmp_path, "- {fail: the model is tired}\n")) == "the model is tired"


def test_a_runner_whose_installation_was_moved_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _script(tmp_path, "- {text: one}\n")
    monkeypatch.setitem(sys.modules, read_script.__module__, None)
    with pytest.raises(InstallationChanged):
        asyncio.run(_answer(path))


def test_calls_need_an_agent_with_tools(tmp_path: Path) -> None:
    path = _script(tmp_path, "- {calls: [{tool: read}]}\n")
    assert _failure(path) == f"turn 1 of {path} calls the tool read, and the agent has no tools"


def test_a_conversation_longer_than_the_script_fails(tmp_path: Path) -> None:
    path = _script(tmp_path, "- {text: a}\n")
    with pytest.raises(ModelFailed) as caught:
        asyncio.run(ScriptedModel(path, clock=NotingClock()).play(1))
    assert caught.value.message == f"the script {path} has 1 turn, and the conversation asks for turn 2"


def test_a_script_is_read_again_where_it_has_changed_and_only_there(tmp_path: Path) -> None:
    path = _script(tmp_path, "- {text: one}\n- {text: two}\n")
    model = ScriptedModel(path, clock=NotingClock())
    assert asyncio.run(model.play(0)).text == "one"
    before = path.stat()
    path.write_text("- {text: six}\n- {text: ten}\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert asyncio.run(model.play(1)).text == "two", "nothing shows that it has changed"
    path.write_text("- {text: six}\n- {text: twelve}\n")
    assert asyncio.run(model.play(1)).text == "twelve"
    path.unlink()
    with pytest.raises(ModelFailed, match="there is no such file"):
        asyncio.run(model.play(1))


def test_a_script_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.yaml"
    assert _failure(path) == f"cannot read the script {path}: there is no such file"


PROBLEMS = {
    "- {txt: a}\n": ["1:4: unknown key '[0].txt'; did you mean 'text'?"],
    "- {delay: 1}\n": ["1:3: [0]: a turn has text, calls, or both, or else fail"],
    "- {text: a, dely: 1}\n": ["1:13: unknown key '[0].dely'; did you mean 'delay'?"],
    "- text: a\n- calls:\n    - {tool: x, argments: {}}\n": [
        "3:17: unknown key '[1].calls[0].argments'; did you mean 'arguments'?"
    ],
    "- {text: a, delay: -1}\n": ["1:13: [0].delay: input should be greater than or equal to 0"],
    "- {text: a, fail: b}\n": ["1:3: [0]: a turn has text, calls, or both, or else fail"],
    "text: a\n": ["1:1: a document is a list of mappings with text, calls, fail, delay and usage"],
    "[]\n": ["1:1: list should have at least 1 item after validation, not 0"],
    "- {text: a\n": ["2:1: did not find expected ',' or '}'"],
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_a_problem_is_told_with_line_and_column(text: str, tmp_path: Path) -> None:
    path = _script(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_script(path)
    assert caught.value.message.split("\n       ") == [f"{path}:{line}" for line in PROBLEMS[text]]
