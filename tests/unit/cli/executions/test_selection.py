"""What the options of a list ask the server for, and how they are told where nothing matches."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.commands import executions
from stigmer_cli.cli.executions.options import Selection
from stigmer_cli.cli.executions.parameters import select
from stigmer_cli.cli.executions.selection import describe_query, is_everything, make_query
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ConfigError
from tests.support.fakes import ManualClock

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def cli() -> Cli:
    return Cli(environ={}, user_home=Path("/nowhere"), clock=ManualClock(NOW))


def test_times_are_seen_from_now_and_sent_with_their_zone(cli: Cli) -> None:
    query = make_query(cli, Selection(since="1h", until="2026-05-04T11:30:00Z", search="a b", labels=["x=y", "z"]))
    sent = {name: value for name, value in query.parameters().items() if value}
    assert sent == {
        "label": ["x=y", "z"],
        "search": "a b",
        "since": "2026-05-04T11:00:00+00:00",
        "until": "2026-05-04T11:30:00+00:00",
    }


@pytest.mark.parametrize("command", ["list", "cancel", "resume", "prune", "approve", "deny"])
def test_each_command_that_selects_executions_takes_a_workflow(command: str) -> None:
    chosen: Any = get_command(executions)
    context = chosen.commands[command].make_context(
        command, ["--workflow", "shop/order", *(["--older-than", "1d"] if command == "prune" else [])]
    )
    assert select(context).workflow == "shop/order"


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(since="soon"), "--since: 'soon' is no time: write 10m"),
        (Selection(until="2026-13-01"), "--until: '2026-13-01' is no time: month must be"),
        (Selection(since="1h", until="2h"), "nothing lies between --since 2026-05-04 11:00:00 .* and --until"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(cli: Cli, selection: Selection, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_query(cli, selection)


def test_what_was_searched_is_told_as_it_can_be_typed(cli: Cli) -> None:
    asked = Selection(
        agent="my agent", phases=[Phase.FAILED], labels=["env=a b"], search="it's", older_than_s=5400, since="1h"
    )
    told = describe_query(make_query(cli, asked))
    assert told.startswith(
        "--phase FAILED --agent 'my agent' --label 'env=a b' --search 'it'\"'\"'s' --older-than 1h30m "
    )
    assert "--since '2026-05-04 " in told
    assert told.endswith(" (searched were messages, outputs and errors)")
    assert describe_query(make_query(cli, Selection())) == ""


NARROWED: dict[str, tuple[str | None, dict[str, Any]]] = {
    "--phase": ("pending", {"phases": (Phase.PENDING,)}),
    "--kind": ("agent", {"kinds": (Kind.AGENT,)}),
    "--agent": ("crawler", {"agent": "crawler"}),
    "--session": ("trip", {"session": "trip"}),
    "--label": ("env=prod", {"labels": ("env=prod",)}),
    "--search": ("no room", {"search": "no room"}),
    "--since": ("2h", {"since": "2h"}),
    "--until": ("1h", {"until": "1h"}),
    "--older-than": ("10m", {"older_than_s": 600.0}),
    "--waiting": (None, {"is_waiting": True}),
}
"""The options that select executions: a value that can be typed, and what is selected."""

SELECTING = {
    "list": NARROWED.keys(),
    "cancel": NARROWED.keys(),
    "resume": NARROWED.keys(),
    "approve": NARROWED.keys() - {"--phase", "--kind", "--waiting"},
    "deny": NARROWED.keys() - {"--phase", "--kind", "--waiting"},
    "prune": NARROWED.keys() - {"--session", "--since", "--until", "--waiting"},
    "reconcile": {"--phase", "--kind", "--older-than"},
}


@pytest.mark.parametrize("name", SELECTING)
def test_each_command_selects_by_the_options_that_it_has(name: str) -> None:
    command: Any = get_command(executions).commands[name]  # type: ignore[attr-defined]
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert flags & NARROWED.keys() == SELECTING[name]
    words = ["--older-than", "10m"] if name == "prune" else []
    expected: dict[str, Any] = {"older_than_s": 600.0} if name == "prune" else {}
    expected |= {"older_than_s": 0.0} if name == "reconcile" else {}
    for flag in SELECTING[name]:
        value, selected = NARROWED[flag]
        words += [flag, *([value] if value else [])]
        expected |= selected
    assert select(command.make_context(name, words)) == Selection(**expected)


@pytest.mark.parametrize(
    ("name", "words", "ids"),
    [
        ("cancel", ["aex-1", "aex-2"], ("aex-1", "aex-2")),
        ("approve", ["aex-1", "/turns/0"], ("aex-1",)),
        ("deny", ["--agent", "a"], ()),
    ],
)
def test_what_is_named_is_selected(name: str, words: list[str], ids: object) -> None:
    command: Any = get_command(executions).commands[name]  # type: ignore[attr-defined]
    found = select(command.make_context(name, words))
    assert found.ids == ids
    assert is_everything(found) is (name != "deny")
