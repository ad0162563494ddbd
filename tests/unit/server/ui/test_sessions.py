"""Links that work once, and cookies that say until when."""

from datetime import timedelta

import pytest

from stigmer_cli.errors import RequestError
from stigmer_cli.server.ui.sessions import LINK_MAX_S, LINKS_MAX, SESSION_MAX_S, Links, Sessions
from tests.support.fakes import ManualClock

TOKEN = "the token of this home"


def _sessions(clock: ManualClock, token: str | None = TOKEN, port: int = 7234) -> Sessions:
    return Sessions(lambda: token, clock=clock, port=port)


def _cookie(set_cookie: str) -> str:
    return set_cookie.partition(";")[0]


def test_a_secret_leads_where_it_was_made_for_and_only_once() -> None:
    links = Links(ManualClock())
    secret, other = links.make("/ui/namespaces/default"), links.make()

    assert links.redeem("") is None
    assert links.redeem(secret + "x") is None
    assert links.redeem(secret) == "/ui/namespaces/default"
    assert links.redeem(secret) is None
    assert links.redeem(other) == "/ui/"


async def test_a_secret_is_void_after_a_minute() -> None:
    clock = ManualClock()
    links = Links(clock)
    early, late = links.make(), links.make()
    await clock.advance(LINK_MAX_S)
    assert links.redeem(early) == "/ui/"
    await clock.advance(0.1)
    assert links.redeem(late) is None


def test_only_so_many_secrets_wait_and_the_oldest_goes_first() -> None:
    links = Links(ManualClock())
    secrets = [links.make() for _ in range(LINKS_MAX + 1)]
    assert links.redeem(secrets[0]) is None
    assert links.redeem(secrets[1]) == "/ui/"


@pytest.mark.parametrize("path", ["", "/", "/ui", "/v1/x", "//evil.example/ui/", "http://evil.example/ui/", "/ui/\\x"])
def test_a_secret_leads_to_no_other_site(path: str) -> None:
    with pytest.raises(RequestError):
        Links(ManualClock()).make(path)


async def test_a_session_lasts_for_twelve_hours() -> None:
    clock = ManualClock()
    sessions = _sessions(clock)
    cookie = _cookie(sessions.begin(is_tls=False))

    assert sessions.is_open([f"other=1; {cookie}"])
    assert sessions.is_open(["other=1", cookie])
    assert not sessions.is_open([])
    await clock.advance(SESSION_MAX_S - 1)
    assert sessions.is_open([cookie])
    await clock.advance(1)
    assert not sessions.is_open([cookie])


def test_a_cookie_is_for_this_path_and_no_script_and_no_other_site() -> None:
    sessions = _sessions(ManualClock())
    attributes = "; Path=/ui; Max-Age=43200; HttpOnly; SameSite=Strict"
    assert sessions.begin(is_tls=False).endswith(attributes)
    assert sessions.begin(is_tls=True).endswith(f"{attributes}; Secure")


def test_a_forged_or_altered_cookie_opens_nothing() -> None:
    clock = ManualClock()
    sessions = _sessions(clock)
    name, _, value = _cookie(sessions.begin(is_tls=False)).partition("=")
    until, nonce, signature = value.split(".")
    far = str(int(until) + 10)
    for forged in (f"{far}.{nonce}.{signature}", f"{until}.{nonce}.", f"{until}.{signature}", "", ".", "..", "ä.ö.ü"):
        assert not sessions.is_open([f"{name}={forged}"])


def test_another_token_or_none_ends_every_session() -> None:
    clock = ManualClock()
    cookie = _cookie(_sessions(clock).begin(is_tls=False))

    assert _sessions(clock).is_open([cookie]), "a restart of the server ends none"
    assert not _sessions(clock, "rotated").is_open([cookie])
    nobody = _sessions(clock, None)
    assert not nobody.is_open([_cookie(nobody.begin(is_tls=False))])


def test_two_stacks_on_one_machine_do_not_share_a_cookie() -> None:
    clock = ManualClock()
    here, there = _sessions(clock), _sessions(clock, port=7235)
    assert here.cookie_name != there.cookie_name
    assert not there.is_open([_cookie(here.begin(is_tls=False))])


def test_who_logs_out_is_out_also_with_a_copy_of_the_cookie() -> None:
    sessions = _sessions(ManualClock())
    mine, yours = _cookie(sessions.begin(is_tls=False)), _cookie(sessions.begin(is_tls=False))
    assert sessions.end([mine]).startswith("stigmer_ui_7234=; Path=/ui; Max-Age=0;")
    assert not sessions.is_open([mine])
    assert sessions.is_open([yours])


def test_a_clock_that_was_an_hour_ahead_leaves_no_longer_session_behind() -> None:
    clock = ManualClock()
    ahead = ManualClock(start=clock.now() + timedelta(hours=1))
    cookie = _cookie(_sessions(ahead).begin(is_tls=False))
    assert not _sessions(clock).is_open([cookie])
