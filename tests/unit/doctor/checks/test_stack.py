"""Checks of category Stack, each from plain facts."""

from dataclasses import replace

import pytest

from stigmer_cli.doctor.checks import stack
from stigmer_cli.doctor.facts.facts import (
    Facts,
    PortSeen,
    ProcessSeen,
)
from stigmer_cli.stack.ports import Owner
from tests.unit.doctor.facts_builder import (
    CLOSED,
    NOBODY,
    brief,
    healthy,
    probe,
    processes,
)

TAKEN = PortSeen(part="server", port=7234, flag="--port", owner=Owner(pid=99, command="python -m http.server 7234"))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(), ("pass", "server 7234, temporal 7233", "")),
        (
            healthy(ports=(TAKEN,)),
            (
                "fail",
                "port 7234 for server is held by pid 99 (python -m http.server 7234)",
                "stigmer down && stigmer up --auto-ports",
            ),
        ),
        (
            healthy(ports=(TAKEN,), supervisor=NOBODY, server=CLOSED, endpoints=None),
            (
                "fail",
                "port 7234 for server is held by pid 99 (python -m http.server 7234)",
                "stigmer up --auto-ports",
            ),
        ),
        (
            healthy(ports=(TAKEN,), supervisor=NOBODY, endpoints=None),
            ("skip", "no stack runs here that would need ports", ""),
        ),
    ],
)
async def test_ports(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await stack.ports(facts)) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(), ("pass", "running (pid 10)", "")),
        (
            healthy(
                supervisor=probe(is_answering=False),
                processes=processes(supervisor=ProcessSeen(pid=10, is_frozen=True)),
            ),
            ("fail", "the supervisor (pid 10) is frozen by a signal (SIGSTOP)", "kill -CONT 10"),
        ),
        (
            healthy(supervisor=probe(is_answering=False)),
            ("fail", "the supervisor (pid 10) does not answer", "stigmer down && stigmer up"),
        ),
        (
            healthy(supervisor=probe(is_answering=False, is_there=False)),
            ("fail", "the supervisor (pid 10) runs, but its socket is gone", "stigmer down && stigmer up"),
        ),
        (
            healthy(
                supervisor=probe(is_answering=False, is_there=False),
                processes=processes(supervisor=ProcessSeen(pid=10, is_alive=False)),
                server=CLOSED,
            ),
            (
                "fail",
                "the supervisor of the stack in /home/ada/.stigmer died (pid 10), and its parts with it",
                "stigmer up",
            ),
        ),
        (
            healthy(supervisor=NOBODY, processes={}, server=CLOSED, endpoints=None),
            ("fail", "no stack runs in /home/ada/.stigmer: none was ever started there", "stigmer up"),
        ),
        (
            healthy(supervisor=NOBODY, processes={}, endpoints=None),
            ("info", "no stack runs in /home/ada/.stigmer; a server answers at http://127.0.0.1:7234", ""),
        ),
    ],
)
async def test_supervisor(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await stack.supervisor(facts)) == expected


async def test_a_supervisor_that_was_told_to_end_has_not_died() -> None:
    gone = probe(is_answering=False, is_there=False)
    assert gone.record is not None
    facts = healthy(
        supervisor=replace(gone, record=replace(gone.record, is_stopping=True)),
        processes=processes(supervisor=ProcessSeen(pid=10, is_alive=False)),
        server=CLOSED,
    )
    _, message, hint = brief(await stack.supervisor(facts))
    told = "the supervisor of the stack in /home/ada/.stigmer (pid 10) was told to end, and did, with its parts"
    assert (message, hint) == (told, "stigmer up")
