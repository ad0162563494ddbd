"""What doctor says of the processes of the parts, each from plain facts."""

from dataclasses import replace

import pytest

from stigmer_cli.doctor.checks import parts, stack
from stigmer_cli.doctor.facts.facts import (
    ExecutionsSeen,
    Facts,
    PortSeen,
    ProcessSeen,
)
from stigmer_cli.settings import Settings
from stigmer_cli.stack.standstill import FROZEN, HUNG, IN_KERNEL
from stigmer_cli.supervisor.record import ExitRecord
from tests.unit.doctor.facts_builder import (
    ENDPOINTS,
    HOME,
    NOBODY,
    brief,
    child,
    execution,
    healthy,
    probe,
    processes,
    server,
)

KILLED = ExitRecord(signal="SIGKILL", at="2026-05-04T11:59:30Z", why="killed by SIGKILL")
LOOPS = "temporal does not start: killed by SIGKILL (5 times in a row); its last line: the last line of temporal"


@pytest.mark.parametrize(
    ("still", "expected"),
    [
        ({}, ("pass", "no part stands still", "")),
        ({"runner": FROZEN}, ("pass", "no part stands still", "")),
        (
            {"runner": HUNG},
            ("fail", "runner (pid 13) is alive, but its event loop stands still", "stigmer restart runner"),
        ),
        (
            {"server": IN_KERNEL},
            (
                "fail",
                f"server (pid 12) is alive, but {IN_KERNEL}",
                "cat /proc/12/wchan; df -h",
            ),
        ),
    ],
)
async def test_unresponsive_parts_are_reported(still: dict[str, str], expected: tuple[str, str, str]) -> None:
    assert brief(await parts.standstill(healthy(supervisor=replace(probe(), still=still)))) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(), ("pass", "running (pid 11)", "")),
        (
            healthy(processes=processes(temporal=ProcessSeen(pid=11, is_frozen=True))),
            ("fail", "temporal (pid 11) is frozen by a signal (SIGSTOP)", "kill -CONT 11"),
        ),
        (
            healthy(supervisor=probe(temporal=7233)),
            ("fail", "temporal (pid 11) runs, but does not listen on port 7233", "stigmer restart temporal"),
        ),
        (
            healthy(supervisor=probe(child("temporal", uptime_s=0.5), temporal=7233)),
            ("pass", "running (pid 11)", ""),
        ),
        (
            healthy(supervisor=probe(child("temporal", id=None, state="backing-off", last_exit=KILLED, failures=1))),
            ("fail", "temporal ended and is about to be restarted: killed by SIGKILL", "stigmer up"),
        ),
        (
            healthy(supervisor=probe(child("temporal", id=None, state="failed", last_exit=KILLED, failures=5))),
            (
                "fail",
                LOOPS,
                "stigmer logs temporal --tail 20",
            ),
        ),
        (
            healthy(supervisor=probe(child("temporal", id=None, state="stopped", last_exit=KILLED))),
            ("fail", "temporal is stopped: killed by SIGKILL", "stigmer up"),
        ),
        (
            healthy(
                supervisor=probe(is_answering=False),
                processes=processes(temporal=ProcessSeen(pid=11, is_alive=False)),
            ),
            (
                "fail",
                "temporal (pid 11) is dead, and the supervisor, which would restart it, does not answer",
                "stigmer down && stigmer up",
            ),
        ),
        (healthy(supervisor=NOBODY, processes={}), ("skip", "because STG104", "")),
        (healthy(supervisor=NOBODY, processes={}, endpoints=None), ("skip", "no stack runs here", "")),
    ],
)
async def test_process(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await parts.temporal_process(facts)) == expected


async def test_a_recent_restart_is_a_warning_and_an_old_one_is_not() -> None:
    recent = healthy(supervisor=probe(child("runner", restarts=2, failures=1, last_exit=KILLED)))
    found = await parts.runner_process(recent)
    assert found.result == "warn"
    assert found.message.startswith("runner is running (pid 13), restarted 2 times; ended last at ")
    assert found.message.endswith(": killed by SIGKILL")
    old = ExitRecord(signal="SIGKILL", at="2026-05-04T10:00:00Z", why="killed by SIGKILL")
    settled = healthy(supervisor=probe(child("runner", restarts=2, failures=1, last_exit=old)))
    assert (await parts.runner_process(settled)).result == "pass"


async def test_a_runner_that_one_execution_ends_each_time_names_it() -> None:
    poison = execution(7, phase="IN_PROGRESS", attempt=3)
    loops = probe(child("runner", id=None, state="failed", last_exit=KILLED, failures=5))
    found = await parts.runner_process(healthy(supervisor=loops, executions=ExecutionsSeen(open=(poison,))))
    assert found.message.endswith("; each time it performed aex-00000000000000000000000007")
    assert found.hint == "stigmer executions cancel aex-00000000000000000000000007 && stigmer up"
    assert (await parts.runner_process(healthy(supervisor=loops))).hint == "stigmer logs runner --tail 20"


async def test_a_binary_that_was_named_and_ends_at_once_is_let_go() -> None:
    loops = probe(child("temporal", id=None, state="failed", last_exit=KILLED, failures=5))
    found = await parts.temporal_process(healthy(supervisor=loops, settings=Settings(home=HOME, temporal_binary="/x")))
    assert found.hint == "unset STIGMER_TEMPORAL_BINARY && stigmer restart"


async def test_what_runs_in_another_pid_namespace_is_not_looked_for_among_the_processes_here() -> None:
    seen = probe(temporal=7233)
    there = replace(seen, record=replace(seen.record, namespace="pid:[1]"))  # type: ignore[type-var] # it has one
    taken = PortSeen(part="server", port=7234, flag="--port", is_free=False, is_ours=False, owner=None)
    facts = healthy(supervisor=there, processes={}, ports=(taken,))
    for look in (parts.temporal_process, parts.server_process, parts.runner_process):
        found = await look(facts)
        assert (found.result, "in another pid namespace" in found.message) == ("pass", True)
    found = await stack.ports(facts)
    assert (found.result, "in another pid namespace" in found.message) == ("skip", True)


async def test_a_temporal_of_somebody_else_is_no_process_of_ours() -> None:
    theirs = ENDPOINTS.__class__(**{**ENDPOINTS.__dict__, "temporal_port": None, "temporal_address": "10.0.0.1:7233"})
    found = await parts.temporal_process(healthy(endpoints=theirs, server=server()))
    assert brief(found) == ("skip", "somebody else runs the Temporal at 10.0.0.1:7233", "")
