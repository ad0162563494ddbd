"""Faults about whose port it is: somebody else answers there."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.faults.fault import On, Row
from tests.e2e.faults.harness import Harness
from tests.support.impostor import Behaviour, impostor


@contextmanager
def friendly_stranger(harness: Harness) -> Iterator[None]:
    """Somebody else answers whatever is asked on the server's port; at the end it has heard no token."""
    token = harness.home / "token"
    if not token.exists():
        token.write_text("the-token-of-this-home\n")
        token.chmod(0o600)
    try:
        with impostor(int(harness.stigmer.environment["STIGMER_SERVER_PORT"]), Behaviour.AGREES) as found:
            yield
            assert token.read_bytes().strip() not in found.received
            assert b"GET /v1/challenge" in found.received
    finally:
        harness.stigmer("down")


ROWS: tuple[Row, ...] = (
    Row(
        fault="Y7",
        what="somebody else answers on the server's port",
        on=On.COLD,
        inject=friendly_stranger,
        code="STG103",
        exit_code=1,
        verdict="not healthy: port 7234 for server is held by pid N (COMMAND)",
        fix="stigmer up --auto-ports",
        is_slow=True,
    ),
)
