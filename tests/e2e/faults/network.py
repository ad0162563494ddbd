"""Faults between machines: a shell that was told to use a server elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.e2e.faults.fault import Mends, On, Row
from tests.e2e.faults.harness import Harness

NOBODY = "https://127.0.0.1:9"
"""The port of the discard service, which nobody runs."""


def told(url: Callable[[Harness], str]) -> Callable[[Harness], AbstractContextManager[None]]:
    """The shell is told to use the server at `url`."""

    @contextmanager
    def inject(harness: Harness) -> Iterator[None]:
        harness.stigmer.environment["STIGMER_SERVER_URL"] = url(harness)
        try:
            yield
        finally:
            del harness.stigmer.environment["STIGMER_SERVER_URL"]

    return inject


def _own_over_tls(harness: Harness) -> str:
    return f"https://127.0.0.1:{harness.stigmer.environment['STIGMER_SERVER_PORT']}"


ROWS: tuple[Row, ...] = (
    Row(
        fault="N3",
        what="STIGMER_SERVER_URL names a server elsewhere, and nobody listens there",
        on=On.OWN,
        inject=told(lambda _stage: NOBODY),
        code="STG108",
        exit_code=1,
        verdict=f"not healthy: the server at {NOBODY} cannot be used: connection refused; STIGMER_SERVER_URL names it,"
        " and the stack of this home is at http://127.0.0.1:7234",
        fix="unset STIGMER_SERVER_URL",
        mends=Mends.SHOWS,
    ),
    Row(
        fault="N4",
        what="STIGMER_SERVER_URL says https, and the server speaks plain HTTP",
        on=On.OWN,
        inject=told(_own_over_tls),
        code="STG125",
        exit_code=1,
        verdict="not healthy: the server at https://127.0.0.1:7234 and this command do not agree on TLS: it does not"
        " speak TLS: set STIGMER_SERVER_URL to http://127.0.0.1:7234, or give the server its STIGMER_TLS_CERT_FILE",
        fix="STIGMER_SERVER_URL=http://127.0.0.1:7234 stigmer doctor",
        mends=Mends.SHOWS,
    ),
)
