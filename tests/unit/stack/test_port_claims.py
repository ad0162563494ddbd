"""Claims on ports: one stack at a time, handed on to a supervisor, gone with its holders."""

import subprocess
import sys

import pytest

from stigmer_cli.stack.port_claims import PortClaims
from stigmer_cli.supervisor.process import IS_LINUX
from tests.support.temporal_server import free_port

pytestmark = pytest.mark.skipif(not IS_LINUX, reason="claims are granted to everybody where there is no such socket")

HOLDS = "import sys; print('up', flush=True); sys.stdin.read()"


def test_a_port_is_claimed_by_one_at_a_time() -> None:
    port = free_port()
    with PortClaims() as ours, PortClaims() as theirs:
        assert ours.take(port)
        assert ours.take(port), "again is no conflict"
        assert not theirs.take(port)
        ours.release(port)
        assert theirs.take(port)
        assert not ours.take(port)


def test_a_claim_ends_with_the_block() -> None:
    port = free_port()
    with PortClaims() as ours:
        assert ours.take(port)
    with PortClaims() as theirs:
        assert theirs.take(port)


def test_a_claim_that_was_inherited_lives_as_long_as_its_heir() -> None:
    port = free_port()
    with PortClaims() as ours:
        assert ours.take(port)
        heir = subprocess.Popen(
            [sys.executable, "-c", HOLDS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=ours.descriptors,
        )
    with heir, PortClaims() as theirs:
        assert heir.stdout is not None
        heir.stdout.readline()
        assert not theirs.take(port)
        heir.kill()
        heir.wait()
        assert theirs.take(port)
