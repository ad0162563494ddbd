"""What `stigmer run NAME` runs, as far as the command line says it."""

import pytest

from stigmer_cli.cli.executions.options import Message, RunOptions
from stigmer_cli.cli.executions.run_target import Target, read_target
from stigmer_cli.domain.identity import Kind
from stigmer_cli.errors import ConfigError

NOTHING = Message(text=None, file=None)
HELLO = Message(text="hello", file=None)


def options(**fields: object) -> RunOptions:
    return RunOptions(timeout_s=None, key=None, require_temporal=False, is_detached=False, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message", "given", "wanted"),
    [
        ("agent/a", HELLO, None, (Kind.AGENT, "a")),
        ("workflow/w", NOTHING, None, (Kind.WORKFLOW, "w")),
        ("workflow/shop/w", NOTHING, "{}", (Kind.WORKFLOW, "shop/w")),
        ("shop/w", NOTHING, None, (Kind.WORKFLOW, "shop/w")),
        ("w", NOTHING, "{}", (Kind.WORKFLOW, "w")),
        ("a", HELLO, None, (Kind.AGENT, "a")),
        ("a", Message(text=None, file="-"), None, (Kind.AGENT, "a")),
        ("wfl-00000000000000000000000000", NOTHING, None, (Kind.WORKFLOW, "wfl-00000000000000000000000000")),
        ("agt-00000000000000000000000000", NOTHING, None, (Kind.AGENT, "agt-00000000000000000000000000")),
        ("a", NOTHING, None, None),
    ],
)
def test_a_name_is_read_with_what_is_given_beside_it(
    name: str, message: Message, given: str | None, wanted: tuple[Kind, str] | None
) -> None:
    found = read_target(name, message, options(given_input=given))
    assert found == (wanted and Target(kind=wanted[0], name=wanted[1]))


@pytest.mark.parametrize(
    ("name", "message", "more", "sentence"),
    [
        ("workflow/w", HELLO, {}, "workflow w takes --input, and no message"),
        ("workflow/w", Message(text=None, file="x"), {}, "workflow w takes --input, and no --file"),
        ("w", NOTHING, {"given_input": "{}", "session": "s"}, "workflow w takes --input, and no --session"),
        (
            "w",
            HELLO,
            {"given_input": "{}", "limits": ("turns=1",)},
            "workflow w takes --input, and no message and no --limit",
        ),
        ("agent/a", HELLO, {"given_input": "{}"}, "agent a takes a message, and no --input"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    name: str, message: Message, more: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        read_target(name, message, options(**more))
    assert raised.value.message == sentence
