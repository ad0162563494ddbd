"""What a shell hands over is split as that shell splits it, and the answer is what it can insert."""

import pytest

from stigmer_cli.cli.completion.request import Item, Request, read_request


def _bash(line: str, word: str) -> Request:
    found = read_request({"_STIGMER_COMPLETE": "bash", "_STIGMER_LINE": line, "_STIGMER_WORD": word}, ())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "word", "words", "current", "kept"),
    [
        ("stigmer ", "", [], "", 0),
        ("stigmer exec", "exec", [], "exec", 0),
        ("stigmer executions get ", "", ["executions", "get"], "", 0),
        ("stigmer run openai:g", "g", ["run"], "openai:g", 7),
        ("stigmer run openai:", "", ["run"], "openai:", 7),
        ("stigmer list --output=js", "js", ["list"], "--output=js", 9),
        ("stigmer list --output=", "", ["list"], "--output=", 9),
        ("stigmer list --output=js", "--output=js", ["list"], "--output=js", 0),
        ('stigmer run "a b', "a b", ["run"], "a b", 0),
        ("stigmer run 'a b' c\\ d", "c\\ d", ["run", "a b"], "c d", 0),
        ("stigmer run a\\", "a\\", ["run"], "a", 0),
        ('stigmer run "it\'s" ', "", ["run", "it's"], "", 0),
        ("stigmer run '# no comment' #", "#", ["run", "# no comment"], "#", 0),
    ],
)
def test_bash_replaces_what_stands_behind_its_last_break(
    line: str, word: str, words: list[str], current: str, kept: int
) -> None:
    found = _bash(line, word)
    assert (list(found.words), found.current, found.kept) == (words, current, kept)


def test_bash_gets_values_without_what_it_keeps() -> None:
    request = _bash("stigmer list --output=js", "js")
    assert request.format_values([Item(value="--output=json", about="one object")]) == "values\njson\n"
    assert request.format_values([Item(value="other")]) == "values\n"


def test_zsh_and_fish_get_descriptions_on_one_line_each() -> None:
    items = [Item(value="openai:gpt", about='a: "b"\nc\td \\ \x1b[31mred'), Item(value="plain")]
    answers = {
        name: Request(shell_name=name, words=(), current="").format_values(items) for name in ("zsh", "fish", "bash")
    }
    assert answers == {
        "zsh": 'values\nopenai:gpt\ta: "b" c d \\ red\nplain\n',
        "fish": 'values\nopenai:gpt\ta: "b" c d \\ red\nplain\n',
        "bash": "values\nopenai:gpt\nplain\n",
    }


@pytest.mark.parametrize("value", ["a b", "$HOME", "`x`", "a'b", "a;b", "a\nb", "a\x1bb", "", "*", "~root"])
def test_a_value_that_a_shell_would_read_otherwise_is_not_offered(value: str) -> None:
    for name in ("bash", "zsh", "fish"):
        assert Request(shell_name=name, words=(), current="").format_values([Item(value=value)]) == "values\n"


def test_zsh_and_fish_hand_over_words() -> None:
    found = read_request({"_STIGMER_COMPLETE": "fish"}, ("executions", "list", "--phase", '"FAI'))
    assert found == Request(shell_name="fish", words=["executions", "list", "--phase"], current="FAI")


@pytest.mark.parametrize("name", ["", "complete_bash", "powershell"])
def test_an_unknown_shell_gets_nothing(name: str) -> None:
    assert read_request({"_STIGMER_COMPLETE": name}, ("exec",)) is None
