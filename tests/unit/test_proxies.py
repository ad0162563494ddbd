"""Which proxy is used for which URL: by scheme, never for this machine, and not for what no_proxy names."""

import pytest

from stigmer_cli.proxies import proxies_in

PROXY = {"https_proxy": "http://proxy:3128"}
ELSEWHERE = "https://api.example.com/v1"


def way(url: str, environ: dict[str, str]) -> str | None:
    proxy = proxies_in(environ).way_to(url)
    return None if proxy is None else f"{proxy.variable}={proxy.url}"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"https_proxy": ""}, None),
        (PROXY, "https_proxy=http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, "HTTPS_PROXY=http://proxy:3128"),
        ({"HTTPS_PROXY": "http://upper:1", **PROXY}, "https_proxy=http://proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, None),
        ({"ALL_PROXY": "socks5://proxy:1080"}, "ALL_PROXY=socks5://proxy:1080"),
        ({"ALL_PROXY": "socks5://proxy:1080", **PROXY}, "https_proxy=http://proxy:3128"),
    ],
)
def test_the_scheme_says_which_variable_counts(environ: dict[str, str], expected: str | None) -> None:
    assert way(ELSEWHERE, environ) == expected


@pytest.mark.parametrize("url", ["http://[::1", "http://proxy:99999", "http://", "socks5://proxy:1080"])
def test_a_proxy_that_cannot_be_used_is_told_with_its_variable(url: str) -> None:
    proxy = proxies_in({"all_proxy": url}).way_to(ELSEWHERE)
    assert proxy is not None
    assert not proxy.is_http
    assert "all_proxy" in proxy.where


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "LOCALHOST", "[::1]"])
def test_this_machine_is_asked_directly(host: str) -> None:
    environ = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "all_proxy"), "http://proxy:3128")
    assert way(f"http://{host}:11434/v1", environ) is None
    assert way(f"https://{host}/v1", environ) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("*", ELSEWHERE, True),
        ("example.com", ELSEWHERE, True),
        (".example.com", ELSEWHERE, True),
        ("*.example.com", ELSEWHERE, True),
        ("API.Example.com", ELSEWHERE, True),
        ("a, api.example.com", ELSEWHERE, True),
        ("a api.example.com", ELSEWHERE, True),
        ("api.example.com:443", ELSEWHERE, True),
        ("api.example.com:444", ELSEWHERE, False),
        ("ample.com", ELSEWHERE, False),
        (".", ELSEWHERE, False),
        (",", ELSEWHERE, False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3:9", True),
        ("10.1.2.3:9", "https://10.1.2.3:9", True),
        ("::1,fd00::/8", "https://[fd12::1]", True),
        ("[fd12::1]", "https://[fd12::1]", True),
        ("10.0.0.0/99", "https://10.1.2.3", False),
        ("10.0.0.0/8", ELSEWHERE, False),
    ],
)
def test_no_proxy_names_hosts_domains_addresses_and_networks(no_proxy: str, url: str, *, is_direct: bool) -> None:
    assert (way(url, {**PROXY, "no_proxy": no_proxy}) is None) is is_direct
    assert (way(url, {**PROXY, "NO_PROXY": no_proxy}) is None) is is_direct


def test_a_password_is_in_no_words_about_the_proxy() -> None:
    proxy = proxies_in({"HTTPS_PROXY": "http://me:secret@proxy:3128"}).way_to(ELSEWHERE)
    assert proxy is not None
    assert proxy.where == "http://proxy:3128 (HTTPS_PROXY)"
    assert "secret" not in repr(proxy)
