"""What this machine is called."""

import os
import socket

import pytest

from stigmer_cli.host_names import own_host_name


@pytest.mark.parametrize(
    ("given", "known"), [(b"vm", "vm"), ("b\u00fcro".encode(), "b\u00fcro"), (b"b\xfcro", "b\ufffdro")]
)
def test_a_name_that_is_not_utf_8_can_be_stored_and_sent(
    given: bytes, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes any bytes: WSL hands on the name that Windows has, in its encoding."""
    monkeypatch.setattr(socket, "gethostname", lambda: os.fsdecode(given))
    assert own_host_name() == known
    assert own_host_name().encode()
