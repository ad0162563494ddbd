"""Which Host and Origin headers name this server."""

import pytest

from stigmer_cli.errors import ConfigError
from stigmer_cli.server.hosts import AllowedHosts, split_names
from stigmer_cli.settings import parse_setting

CODESPACE = "cat-7234.app.github.dev"


def _admits(host: str, *, port: int = 7234, setting: str | None = None) -> bool:
    return AllowedHosts(port, split_names(setting)).admits(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7234", "localhost:7234", "LocalHost:7234", "localhost.:7234", "[::1]:7234", "[0:0::1]:7234"]
)
def test_every_spelling_of_loopback_with_our_port_is_ours(host: str) -> None:
    assert _admits(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":7234",
        "evil.example:7234",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:72340",
        "127.0.0.1:+7234",
        "127.0.0.1:07234x",
        "127.0.0.1:7234@evil.example",
        "evil.example@127.0.0.1:7234",
        "127.0.0.1:7234,evil.example",
        "127.0.0.1.evil.example:7234",
        "localhost..:7234",
        "127.0.0.1 :7234",
        "[::1%lo]:7234",
        "[::1]x:7234",
        "[::1:7234",
        "::1:7234",
        "127.0.0.2:7234",
        "0.0.0.0:7234",
        "2130706433:7234",
    ],
)
def test_everything_else_is_somebody_elses(host: str) -> None:
    assert not _admits(host)


def test_the_default_port_of_a_scheme_may_be_left_out() -> None:
    assert _admits("127.0.0.1", port=80)
    assert not _admits("127.0.0.1:443", port=80)
    assert _admits("door.example", setting="door.example:443")
    assert not _admits("door.example:7234", setting="door.example:443")


def test_a_name_without_a_port_is_let_in_on_every_port() -> None:
    assert _admits(CODESPACE, setting=CODESPACE)
    assert _admits(f"{CODESPACE.upper()}:443", setting=CODESPACE)
    assert not _admits(f"evil.{CODESPACE}", setting=CODESPACE)
    assert not _admits("app.github.dev", setting=CODESPACE)


def test_an_origin_is_a_scheme_and_a_name_of_ours_and_nothing_more() -> None:
    hosts = AllowedHosts(7234, [CODESPACE])
    ours = ("http://127.0.0.1:7234", "http://localhost:7234", f"https://{CODESPACE}")
    assert all(hosts.admits_origin(origin) for origin in ours)
    theirs = ("null", "", "http://evil.example", "http://127.0.0.1:8080", "file://127.0.0.1:7234", "http://[::1", "//x")
    assert not any(hosts.admits_origin(origin) for origin in theirs)
    assert not hosts.admits_origin("http://127.0.0.1:7234/path")
    assert not hosts.admits_origin("http://me@127.0.0.1:7234")


@pytest.mark.parametrize("text", ["*.app.github.dev", "*", "http://a.example", "a.example/x", "a b", "a,,b", "a:0"])
def test_a_setting_that_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_setting("allowed_hosts", text)


def test_spaces_around_the_commas_do_not_count() -> None:
    assert parse_setting("allowed_hosts", " a.example , b.example:8443") == "a.example,b.example:8443"


def test_the_address_that_the_connection_was_made_to_is_ours() -> None:
    hosts = AllowedHosts(7234)
    assert hosts.admits("10.0.0.5:7234", at=("10.0.0.5", 7234))
    assert hosts.admits("[fd00::5]:7234", at=("fd00:0::5", 7234))
    assert hosts.admits("10.0.0.5:7234", at=("::ffff:10.0.0.5", 7234))
    assert hosts.admits("10.0.0.5", at=("10.0.0.5", 443))
    assert not hosts.admits("10.0.0.6:7234", at=("10.0.0.5", 7234))
    assert not hosts.admits("10.0.0.5:7235", at=("10.0.0.5", 7234))
    assert not hosts.admits("evil.example:7234", at=("10.0.0.5", 7234))
