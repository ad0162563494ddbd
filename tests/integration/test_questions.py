"""A question of a command, in a pseudo-terminal: what a person types, and what it comes to."""

import os
import sys
from pathlib import Path

import pexpect  # type: ignore[import-untyped] # its stubs are not installed
import pytest

STIGMER = str(Path(sys.executable).with_name("stigmer"))
ANSWER_MAX_S = 30


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [("n\r", 1, ["nothing was deleted"]), ("\x03", 130, ["nothing was deleted", "interrupted"])],
    ids=["no", "Ctrl-C"],
)
def test_a_question_that_is_not_agreed_to_is_told_once(typed: str, code: int, told: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "STIGMER_HOME": str(tmp_path), "NO_COLOR": "1", "TERM": "dumb"}
    asked = pexpect.spawn(
        STIGMER, ["agents", "delete", "greeter"], env=environment, timeout=ANSWER_MAX_S, encoding="utf-8"
    )
    with asked:
        asked.expect_exact("Delete agent greeter? [y/N]: ")
        asked.send(typed)
        lines = asked.read().splitlines()[1:]  # the first is the end of the question, with what was typed
        asked.close()
    assert (asked.exitstatus, lines) == (code, told)
