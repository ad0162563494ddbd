"""How long a runner holds its imports back for the Temporal of its stack."""

import socket
import threading
import time
from pathlib import Path

import pytest

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.stack.temporal_first import WAIT_MAX_S, wait_for_own_temporal
from tests.support.temporal_server import free_port


def took_s(folder: Path, **variables: str) -> float:
    cli = Cli(environ={"STIGMER_HOME": str(folder), **variables}, user_home=folder)
    began = time.monotonic()
    wait_for_own_temporal(cli)
    return time.monotonic() - began


def test_it_ends_as_soon_as_temporal_listens_and_at_the_latest_after_a_second(tmp_path: Path) -> None:
    port = free_port()
    assert took_s(tmp_path, STIGMER_TEMPORAL_PORT=str(port)) >= WAIT_MAX_S
    with socket.socket() as temporal:
        temporal.bind(("127.0.0.1", port))
        listens = threading.Timer(0.1, temporal.listen)
        listens.start()
        assert took_s(tmp_path, STIGMER_TEMPORAL_PORT=str(port)) >= 0.1
        listens.join()
        with socket.create_connection(("127.0.0.1", port)):
            pass


@pytest.mark.parametrize(
    "variables", [{"STIGMER_TEMPORAL_ADDRESS": "127.0.0.1:1"}, {"STIGMER_TEMPORAL_PORT": "no number"}]
)
def test_nobody_waits_for_the_temporal_of_others_or_because_of_a_bad_setting(
    variables: dict[str, str], tmp_path: Path
) -> None:
    assert took_s(tmp_path, **variables) < WAIT_MAX_S / 2
