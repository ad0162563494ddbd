"""The input of a workflow, as a person gives it at the command line."""

from pathlib import Path

import pytest

from stigmer_cli.cli.workflows.given_input import read_given_input
from stigmer_cli.errors import ConfigError


def test_a_text_that_was_cut_in_a_character_is_taken_with_a_question_mark() -> None:
    assert read_given_input('{"title": "cut \\ud83d"}') == {"title": "cut ?"}


@pytest.mark.parametrize(
    "given", ['{"n": NaN}', '{"n": 1e400}', "{", "[" * 100_000], ids=["nan", "large", "half", "deep"]
)
def test_what_is_no_json_is_refused_with_an_example(given: str) -> None:
    with pytest.raises(ConfigError, match="the input is not JSON") as caught:
        read_given_input(given)
    assert "--input @FILE" in caught.value.hint


def test_a_file_that_an_editor_of_windows_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('\ufeff{"n": 1}\r\n')
    assert read_given_input(f"@{tmp_path / 'input.json'}") == {"n": 1}
