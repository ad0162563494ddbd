"""What doctor says of the server: its API, its version, its load, each from plain facts."""

from dataclasses import replace

import pytest

from stigmer_cli.api.health import LoadHealth
from stigmer_cli.doctor.checks import server as server_checks
from stigmer_cli.doctor.facts.facts import (
    Facts,
    ServerSeen,
)
from stigmer_cli.errors import ServerBusy
from stigmer_cli.settings import Settings, Source
from stigmer_cli.temporal.gateway import Poller
from tests.support.fakes import START
from tests.unit.doctor.facts_builder import (
    CLOSED,
    HOME,
    TEMPORAL,
    brief,
    child,
    healthy,
    probe,
    server,
)

ELSEWHERE = ServerSeen(url="http://there", why="connection refused")
NAMED = Settings(home=HOME, server_url="http://there", sources={"server_url": Source.ENVIRONMENT})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(), ("pass", "http://127.0.0.1:7234 answers (pid 12)", "")),
        (
            healthy(server=CLOSED),
            (
                "fail",
                "the server at http://127.0.0.1:7234 cannot be used: connection refused",
                "stigmer restart server",
            ),
        ),
        (
            healthy(server=ELSEWHERE, settings=NAMED),
            (
                "fail",
                (
                    "the server at http://there cannot be used: connection refused; STIGMER_SERVER_URL names it, and"
                    " the stack of this home is at http://127.0.0.1:7234"
                ),
                "unset STIGMER_SERVER_URL",
            ),
        ),
        (
            healthy(server=replace(CLOSED, why=f"it {ServerBusy.words}")),
            (
                "skip",
                "could not be judged: the server at http://127.0.0.1:7234 is busy: it takes no more",
                "stigmer doctor --wait=30",
            ),
        ),
        (
            healthy(server=ELSEWHERE, settings=NAMED, endpoints=None),
            (
                "fail",
                "the server at http://there cannot be used: connection refused",
                "stigmer config get server_url",
            ),
        ),
        (
            healthy(
                server=replace(ELSEWHERE, why="it refuses the token of this command"), settings=NAMED, endpoints=None
            ),
            (
                "fail",
                "the server at http://there cannot be used: it refuses the token of this command",
                "export STIGMER_TOKEN=..., the one that the server was given",
            ),
        ),
        (
            healthy(supervisor=probe(child("server", id=child("runner").id))),
            (
                "fail",
                "http://127.0.0.1:7234 is answered by another server (pid 12) than the stack's (pid 13)",
                "stigmer down && stigmer up --auto-ports",
            ),
        ),
    ],
)
async def test_server_api(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await server_checks.answers(facts)) == expected


async def test_versions_that_differ_are_a_warning() -> None:
    assert brief(await server_checks.versions(healthy())) == ("pass", "all are 1.0", "")
    assert brief(await server_checks.versions(healthy(version="1.1"))) == (
        "warn",
        "this command is 1.1, the server is 1.0",
        "stigmer restart",
    )


async def test_a_runner_tells_its_version_in_its_name() -> None:
    def polled_by(*identities: str) -> Facts:
        pollers = tuple(Poller(identity=identity, last_access_at=START) for identity in identities)
        return healthy(temporal=replace(TEMPORAL, pollers=pollers))

    assert (await server_checks.versions(polled_by("stigmer-runner/13@here/1/1.0", "a-stranger"))).result == "pass"
    assert brief(await server_checks.versions(polled_by("stigmer-runner/13@here/1/0.9"))) == (
        "warn",
        "this command is 1.0, a runner is 0.9",
        "stigmer restart",
    )


async def test_a_server_that_refuses_what_it_cannot_write_in_time_is_busy_and_not_ill() -> None:
    assert brief(await server_checks.load(healthy())) == ("pass", "what is sent is written at once", "")
    seen = server()
    assert seen.health is not None
    busy = seen.health.model_copy(update={"load": LoadHealth(busy=True, waiting=9, wait_s=0.7, refused=1203)})
    found = await server_checks.load(healthy(server=replace(seen, health=busy)))
    assert brief(found) == (
        "warn",
        "the server is busy: 9 writes wait for the store, 0.7s each; 1,203 were refused since it started",
        "stigmer doctor --wait=30",
    )
    assert found.evidence == {"waiting": 9, "waitS": 0.7, "claimedAfterS": None, "refused": 1203}


async def test_a_server_that_refuses_what_runners_claim_late_says_how_late() -> None:
    seen = server()
    assert seen.health is not None
    busy = seen.health.model_copy(update={"load": LoadHealth(busy=True, claimed_after_s=1.84, refused=12)})
    assert brief(await server_checks.load(healthy(server=replace(seen, health=busy)))) == (
        "warn",
        "the server is busy: executions wait 1.8s for a runner; 12 were refused since it started",
        "stigmer doctor --wait=30",
    )
