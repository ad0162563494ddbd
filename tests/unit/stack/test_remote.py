"""A server elsewhere: what counts as one, how it stands by its own word, and which commands are not about it."""

from dataclasses import replace
from pathlib import Path

import pytest

from stigmer_cli.errors import ConfigError, RequestError
from stigmer_cli.settings import Home, Settings, Source, load
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.parts import endpoints_of
from stigmer_cli.stack.remote import find_server_elsewhere, refuse_elsewhere, require_token
from stigmer_cli.stack.remote_status import judge_stack
from stigmer_cli.stack.server_probe import RunnerPoller, ServerObservation
from stigmer_cli.stack.status import StackStatus
from tests.support.fakes import ManualClock

URL = "https://stigmer.example"
HOME = Home(path=Path("/nowhere"))
CONNECTED = {"address": "temporal.example:7233", "namespace": "work"}


def settings(url: str | None, *, source: Source = Source.ENVIRONMENT) -> Settings:
    return Settings(home=HOME, server_url=url, sources={"server_url": source})


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (None, None),
        ("http://127.0.0.1:7234", None),
        ("http://localhost:7234", None),
        ("http://127.0.0.1:7235", "http://127.0.0.1:7235"),
        ("http://127.0.0.2:7234", "http://127.0.0.2:7234"),
        (URL, URL),
    ],
)
def test_elsewhere_is_what_is_not_this_homes_own(url: str | None, found: str | None) -> None:
    assert find_server_elsewhere(settings(url), None) == found


def test_the_port_of_the_stack_that_runs_is_its_own_too() -> None:
    running = endpoints_of(Settings(home=HOME, server_port=9999), StackOptions(), ManualClock())
    assert find_server_elsewhere(settings("http://127.0.0.1:9999"), running) is None
    assert find_server_elsewhere(settings(running.server_url, source=Source.DEFAULT), None) is None, "nobody said so"


def shown(seen: ServerObservation) -> tuple[str, int, list[tuple[str, str, str]]]:
    found: StackStatus = judge_stack(seen, URL, HOME)
    return str(found.state), found.exit_code, [(part.name, str(part.state), part.detail) for part in found.parts]


def test_one_that_is_well_tells_of_its_temporal_and_its_runners() -> None:
    runners = tuple(
        RunnerPoller(identity=name, silent_s=silent_s) for name, silent_s in (("a", 1.0), ("b", 2.0), ("dead", 999.0))
    )
    seen = ServerObservation(state="ready", temporal_state="CONNECTED", connection=CONNECTED, pollers=runners)
    assert shown(seen) == (
        "ready",
        0,
        [
            ("server", "external", ""),
            ("temporal", "external", "temporal.example:7233"),
            ("runner", "external", "2 asking for work"),
        ],
    )
    assert shown(replace(seen, state="busy"))[:2] == ("busy", 0)
    assert all(part.pid is None and not part.ports for part in judge_stack(seen, URL, HOME).parts), (
        "nothing of this machine"
    )


def test_one_that_is_not_well_says_why() -> None:
    seen = ServerObservation(state="degraded", temporal_state="DISCONNECTED", temporal_cause="connection refused")
    assert shown(seen) == (
        "degraded",
        1,
        [
            ("server", "external", ""),
            ("temporal", "not-ready", "the server is disconnected (connection refused)"),
            ("runner", "not-ready", "none asks for work"),
        ],
    )


def test_one_that_cannot_be_reached_is_not_called_stopped() -> None:
    state, code, parts = shown(ServerObservation(why="connection refused"))
    assert (state, code, parts[0]) == ("unreachable", 4, ("server", "failed", "connection refused"))


def test_commands_about_processes_of_this_machine_are_refused_with_the_way_back(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        refuse_elsewhere(settings(URL), "stigmer logs")
    assert caught.value.exit_code == 2
    assert caught.value.message == (
        f"stigmer logs is about a stack of this machine, and commands talk to the server at {URL} (STIGMER_SERVER_URL)"
    )
    assert caught.value.hint.endswith("for the stack of this one: env -u STIGMER_SERVER_URL stigmer logs")
    (tmp_path / "config.toml").write_text(f'server_url = "{URL}"\n')
    written = load({}, {"STIGMER_HOME": str(tmp_path)}, user_home=tmp_path)
    with pytest.raises(RequestError, match=r"server_url in config\.toml"):
        refuse_elsewhere(written, "stigmer restart")
    refuse_elsewhere(settings(None), "stigmer logs")


def test_without_a_token_for_it_nothing_is_asked_of_a_server_elsewhere(tmp_path: Path) -> None:
    """A token that is made on this machine would be refused there for ever."""
    far = replace(settings(URL), home=Home(path=tmp_path))
    with pytest.raises(ConfigError) as caught:
        require_token(far)
    assert caught.value.message == f"there is no token for the server at {URL}"
    assert caught.value.hint == "set STIGMER_TOKEN to the one that this server was given"
    require_token(replace(far, token="given"))
    require_token(settings(None))
    (tmp_path / "token").write_text("given\n")
    require_token(far)
