"""What at the prompt of a chat is a command, and what is a message."""

import pytest

from stigmer_cli.cli.chat.slash import Slash, UnknownSlash, describe_commands, parse_slash


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("/help", Slash.HELP),
        ("/quit  ", Slash.QUIT),
        ("/exit", UnknownSlash(word="/exit")),
        ("/", UnknownSlash(word="/")),
        ("/quit now", UnknownSlash(word="/quit now")),
        (" /help", None),
        ("/etc/hosts has a wrong line", None),
        ("/please explain", None),
        ("what does /help do?", None),
        ("hello", None),
        ("", None),
    ],
)
def test_a_slash_makes_a_command_only_of_a_single_word(typed: str, means: object) -> None:
    assert parse_slash(typed) == means


def test_the_help_names_every_command_in_lines_that_fit_a_terminal() -> None:
    lines = describe_commands().splitlines()
    assert {line.split()[0] for line in lines} >= set(Slash)
    assert max(map(len, lines)) <= 80
