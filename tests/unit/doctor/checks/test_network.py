"""TLS on both links, certificates that are about to expire, and a server on another machine."""

from datetime import timedelta
from pathlib import Path

import pytest

from stigmer_cli.doctor import remote_scope
from stigmer_cli.doctor.catalog import CHECKS
from stigmer_cli.doctor.checks import network
from stigmer_cli.doctor.facts.facts import EndpointSeen, Facts, ServerSeen, TemporalSeen, TlsSeen, known
from stigmer_cli.doctor.run_checks import diagnose
from stigmer_cli.settings import Home, Settings, Source
from tests.support.fakes import START
from tests.unit.doctor.facts_builder import NOBODY, brief, healthy, server

URL = "https://stigmer.example"
FAR = Settings(
    home=Home(path=Path("/home/ada/.stigmer")),
    server_url=URL,
    temporal_address="temporal.example:7233",
    sources={"server_url": Source.ENVIRONMENT},
)
LOCAL = {
    *("STG102", "STG103", "STG104", "STG105", "STG106", "STG107", "STG110", "STG111", "STG112"),
    *("STG116", "STG117", "STG118", "STG119", "STG123", "STG127", "STG129"),
    *("STG209", "STG211", "STG301", "STG302", "STG304", "STG505", "STG510"),
}
FROM_HERE = {"STG201", "STG202", "STG203", "STG205", "STG206", "STG207", "STG208", "STG213", "STG215"}


def linked(seen: TlsSeen, **changes: object) -> Facts:
    """A machine that talks to others, with TLS on both links as it was seen."""
    facts = {"settings": FAR, "endpoints": None, "temporal_tls": known(seen), "server_tls": known(seen)}
    return healthy(**(facts | changes))


async def test_a_stack_of_one_machine_has_no_tls_to_be_judged() -> None:
    assert brief(await network.temporal_tls(healthy()))[0] == "skip"
    assert brief(await network.server_tls(healthy()))[0] == "skip"
    assert brief(await network.server_elsewhere(healthy()))[0] == "skip"


@pytest.mark.parametrize(
    ("why", "hint"),
    [
        (
            "it expects TLS, and the connection was made without it: set STIGMER_TEMPORAL_TLS=true",
            "stigmer config set temporal_tls true && stigmer restart",
        ),
        ("it does not: set STIGMER_TEMPORAL_TLS=false", "stigmer config set temporal_tls false && stigmer restart"),
        ("its certificate expired", "openssl s_client -connect temporal.example:7233 -showcerts </dev/null"),
    ],
)
async def test_what_is_not_agreed_on_comes_with_a_command(why: str, hint: str) -> None:
    assert brief(await network.temporal_tls(linked(TlsSeen(is_used=True, why=why)))) == (
        "fail",
        f"Temporal at temporal.example:7233 and this command do not agree on TLS: {why}",
        hint,
    )
    assert brief(await network.server_tls(linked(TlsSeen(is_used=True, why=why))))[0] == "fail"


async def test_the_certificate_that_expires_first_is_warned_about_two_weeks_before() -> None:
    soon, later = START + timedelta(days=13), START + timedelta(days=15)
    seen = TlsSeen(is_used=True, ends=later, own_ends=later, own_file="/run/me.pem")
    assert brief(await network.temporal_tls(linked(seen)))[0] == "pass"
    seen = TlsSeen(is_used=True, ends=later, own_ends=soon, own_file="/run/me.pem")
    result, message, hint = brief(await network.temporal_tls(linked(seen)))
    assert (result, hint) == ("warn", "openssl x509 -noout -dates -in /run/me.pem")
    assert message.startswith(f"our certificate /run/me.pem expires at {soon.astimezone():%Y-%m-%d %H:%M}")
    result, message, _ = brief(await network.server_tls(linked(TlsSeen(is_used=True, ends=soon))))
    assert result == "warn"
    assert message.startswith("the certificate of the server at")


async def test_a_server_that_is_away_is_not_said_to_agree_on_anything() -> None:
    assert brief(await network.server_tls(linked(TlsSeen(is_used=True)))) == (
        "skip",
        f"the server at {server().url} shows no certificate just now",
        "",
    )


async def test_a_server_elsewhere_is_judged_by_its_own_word() -> None:
    far = linked(TlsSeen(is_used=True))
    result, message, _ = brief(await network.server_elsewhere(far))
    assert (result, message) == (
        "pass",
        f"{URL} is ready: Stigmer 1.0, store sqlite, Temporal 127.0.0.1:7233",
    )
    seen = server()
    assert seen.health is not None
    sick = seen.health.model_copy(update={"reasons": ["no runner polls the task queue 'stigmer'"]})
    found = await network.server_elsewhere(linked(TlsSeen(), server=ServerSeen(url=URL, health=sick)))
    assert brief(found) == (
        "fail",
        f"the server at {URL} says: no runner polls the task queue 'stigmer'",
        "on the machine of that server: stigmer doctor",
    )


async def test_nothing_of_this_machine_is_judged_for_a_server_elsewhere_and_no_fix_is_for_it() -> None:
    """A home without a stack, ports held by others, no Temporal here: none of it is that server's fault."""
    away = EndpointSeen(address="", namespace="default", is_own=False, why="not asked from here")
    facts = linked(
        TlsSeen(is_used=True),
        settings=Settings(home=FAR.home, server_url=URL, sources=FAR.sources),
        supervisor=NOBODY,
        processes={},
        endpoint=away,
        temporal=TemporalSeen(state="DISCONNECTED", cause="not asked from here"),
    )
    judged = {one.check.code: one.found for one in await diagnose(CHECKS, facts, clock=facts.clock)}
    assert {code for code, found in judged.items() if found.result in ("fail", "warn")} == set()
    assert {
        code for code, found in judged.items() if found.message == f"not on this machine: the server is at {URL}"
    } == LOCAL
    unasked = "not asked from this machine: STIGMER_TEMPORAL_ADDRESS is not set"
    assert {code for code, found in judged.items() if found.message.startswith(unasked)} == FROM_HERE
    assert (judged["STG108"].result, judged["STG126"].result) == ("pass", "pass")


async def test_a_server_elsewhere_that_is_ill_gets_no_fix_that_works_on_this_machine_only() -> None:
    ill = server(state="DISCONNECTED", cause="connection refused")
    facts = linked(TlsSeen(is_used=True), server=ill, supervisor=NOBODY, processes={})
    judged = await diagnose(CHECKS, facts, clock=facts.clock)
    hints = {one.found.hint for one in judged if one.found.result in ("fail", "warn")}
    assert hints, "it is ill"
    assert not [hint for hint in hints if remote_scope.LOCAL_COMMAND.search(hint)]
