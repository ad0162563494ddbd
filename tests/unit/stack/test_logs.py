"""Which logs are asked for."""

import pytest

from stigmer_cli.errors import ConfigError
from stigmer_cli.stack.logs import select_parts


def test_each_part_is_shown_once_and_all_unless_some_are_named() -> None:
    assert select_parts(["server", "runner", "server"]) == ("server", "runner")
    assert select_parts([]) == ("supervisor", "temporal", "server", "runner")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("servr", r"^there is no part servr; did you mean server\?$"),
        ("xyzzy", "^there is no part xyzzy: supervisor, temporal, server, runner$"),
    ],
)
def test_an_unknown_part_is_answered_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        select_parts([name])
