"""Checks about whom the token goes to, each from plain facts."""

import pytest

from stigmer_cli.doctor.checks import access
from stigmer_cli.doctor.facts.facts import PortSeen, ServerSeen
from stigmer_cli.settings import Settings, Source
from stigmer_cli.stack.ports import Owner
from tests.unit.doctor.facts_builder import HOME, PIDS, brief, health, healthy

URL = "http://127.0.0.1:7234"
STRANGER = Owner(pid=99, command="python -m http.server 7234")
WHY = "what answers there has not proven that it holds the token of this home"
UNPROVEN = ServerSeen(url=URL, why=WHY, stranger=STRANGER)
OTHERS = "https://stigmer.example"
KEPT = "the token is not sent to http://10.0.0.1:7234: it would cross the network unencrypted"


async def test_a_server_that_proved_itself_passes() -> None:
    assert brief(await access.identity(healthy())) == (
        "pass",
        "the server at http://127.0.0.1:7234 has proven that it holds the token",
        "",
    )


async def test_a_foreign_server_is_named_and_nothing_was_sent_to_it() -> None:
    found = await access.identity(healthy(server=UNPROVEN))
    assert brief(found) == (
        "fail",
        f"{URL} is answered by {STRANGER}, which has not proven to be the server; nothing was sent to it",
        "stigmer down && stigmer up --auto-ports",
    )
    assert found.evidence["pid"] == 99


async def test_a_foreign_server_on_a_port_with_a_finding_adds_none() -> None:
    taken = (PortSeen(part="server", port=7234, flag="--port", owner=STRANGER),)
    found = await access.identity(healthy(server=UNPROVEN, ports=taken))
    assert (brief(found)[0], found.because) == ("skip", "STG103")


@pytest.mark.parametrize(
    ("source", "hint"), [(Source.ENVIRONMENT, "unset STIGMER_TOKEN"), (Source.DEFAULT, "stigmer restart server")]
)
async def test_our_own_server_with_another_token_is_not_a_foreign_one(source: Source, hint: str) -> None:
    own = ServerSeen(url=URL, why=WHY, stranger=Owner(pid=PIDS["server"], command="stigmer serve"))
    settings = Settings(home=HOME, token="other", sources={"token": source})
    found = await access.identity(healthy(server=own, settings=settings))
    assert brief(found) == ("fail", "the server (pid 12) does not hold the token of this command", hint)


async def test_a_server_that_does_not_answer_is_not_judged() -> None:
    assert brief(await access.identity(healthy(server=ServerSeen(url=URL, why="connection refused"))))[0] == "skip"


async def test_a_token_that_is_never_sent_is_a_fault_with_the_setting_to_look_at() -> None:
    refused = ServerSeen(url="http://10.0.0.1:7234", why=KEPT, refusal=KEPT)
    assert brief(await access.encryption(healthy(server=refused))) == (
        "fail",
        KEPT,
        "stigmer config get server_url",
    )


async def test_a_token_sent_unencrypted_as_configured_is_a_warning() -> None:
    settings = Settings(home=HOME, server_url="http://10.0.0.1:7234", insecure_http=True)
    seen = ServerSeen(url="http://10.0.0.1:7234", health=health())
    assert brief(await access.encryption(healthy(server=seen, settings=settings))) == (
        "warn",
        "the token goes to http://10.0.0.1:7234 unencrypted and without a proof, because STIGMER_INSECURE_HTTP is set",
        "stigmer config get insecure_http",
    )


@pytest.mark.parametrize("url", [URL, OTHERS])
async def test_a_safe_way_passes(url: str) -> None:
    seen = ServerSeen(url=url, health=health())
    assert brief(await access.encryption(healthy(server=seen))) == ("pass", f"the token goes to {url} safely", "")
