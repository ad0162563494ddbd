"""Whose certificates are taken of a server of tools over HTTP."""

import pytest

from stigmer_cli.tool_server.transport import choose_authorities


@pytest.mark.parametrize(
    "url",
    [
        "https://tools.example/mcp",
        "HTTPS://tools.example:8443/mcp",
        "http://tools.example/mcp",  # it may redirect to https, and the library follows that
        "http://tools.example:80/mcp",
    ],
)
def test_authorities_are_there_wherever_tls_may_be_spoken(url: str) -> None:
    assert choose_authorities(url, {}).get_ca_certs()


def test_none_are_read_for_a_server_that_never_speaks_tls() -> None:
    chosen = choose_authorities("http://tools.example:8000/mcp", {"SSL_CERT_FILE": "/nowhere/ca.pem"})
    assert chosen.get_ca_certs() == []
