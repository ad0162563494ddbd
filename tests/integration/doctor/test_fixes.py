"""The repairs themselves: on real folders, real supervisors and a server that answers what a test wants."""

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.clock import SystemClock
from stigmer_cli.doctor.catalog import BY_CODE
from stigmer_cli.doctor.check import Judged, failed
from stigmer_cli.doctor.facts.facts import Facts, PortSeen, ProcessSeen, ServerSeen
from stigmer_cli.doctor.repairs.dead_supervisor import clear_the_dead
from stigmer_cli.doctor.repairs.fix import ActResult, FixOutcome, done, left
from stigmer_cli.doctor.repairs.fix import failed as not_done
from stigmer_cli.doctor.repairs.modes import shut_home, shut_token
from stigmer_cli.doctor.repairs.orphans import bring_back
from stigmer_cli.doctor.repairs.parts import start_part
from stigmer_cli.settings import Home, Settings
from stigmer_cli.stack.endpoints_file import write_endpoints
from stigmer_cli.supervisor.lock import FileLock
from stigmer_cli.supervisor.process import ProcessId
from stigmer_cli.supervisor.record import SOCKET, SupervisorRecord, read_record
from tests.support.polling import until_true
from tests.support.processes import SLEEP, child, supervised
from tests.support.proof import proof_for
from tests.unit.doctor.facts_builder import ENDPOINTS, HOME, NOBODY, healthy, probe
from tests.unit.doctor.facts_builder import child as record_of


def judged(code: str) -> Judged:
    return Judged(check=BY_CODE[code], found=failed("ill", "heal"))


# -- modes


def at(home: Home, **changes: Any) -> Facts:
    return healthy(settings=Settings(home=home), **changes)


async def test_the_folders_of_a_home_are_shut_for_others_and_only_once(home: Home) -> None:
    home.run.mkdir(mode=0o777)
    home.run.chmod(0o777)
    home.path.chmod(0o755)
    result = await shut_home(at(home), judged("STG101"))
    assert result == done(f"removed the rights of others from {home.path} (was 0755), {home.run} (was 0777)")
    assert [oct(path.stat().st_mode & 0o777) for path in (home.path, home.run)] == ["0o700", "0o700"]
    assert await shut_home(at(home), judged("STG101")) == left("its rights are not what is wrong")


async def test_a_token_file_is_made_private_and_its_owner_warned_that_others_may_know_it(home: Home) -> None:
    home.token_file.write_text("secret")
    home.token_file.chmod(0o640)
    result = await shut_token(at(home), judged("STG504"))
    assert result.outcome is FixOutcome.DONE
    assert "stigmer config rotate-token" in result.message
    assert home.token_file.stat().st_mode & 0o777 == 0o600
    assert home.token_file.read_text() == "secret"
    assert (await shut_token(at(home), judged("STG504"))).outcome is FixOutcome.LEFT


async def test_a_missing_token_is_not_created_again(home: Home) -> None:
    assert (await shut_token(at(home), judged("STG504"))).outcome is FixOutcome.LEFT
    assert not home.token_file.exists()


# -- what a dead supervisor left


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


async def test_what_a_dead_supervisor_left_is_removed_and_only_once(home: Home) -> None:
    home.run.mkdir()
    async with supervised(home.run, child(home.run, "sleeper", SLEEP)) as stack:
        write_endpoints(home, ENDPOINTS)
        pid = stack.id.pid
        assert await clear_the_dead(at(home), judged("STG104")) == left(
            f"the supervisor lives (pid {pid}), and a process is never ended without asking"
        )
        record = read_record(home.run)
        assert record is not None
        stack.id.send(signal.SIGKILL)
        await until_true(lambda: not any(one.is_alive for one in _all(record)), "all dead")

        assert await clear_the_dead(at(home), judged("STG104")) == done(
            f"the supervisor (pid {pid}) had died; removed what it left: stack.json, supervisor.json, supervisor.sock"
        )
        assert not {"stack.json", "supervisor.json", SOCKET} & set(files_in(home.run))
        assert (await clear_the_dead(at(home), judged("STG104"))).outcome is FixOutcome.LEFT


def _all(record: SupervisorRecord) -> Iterator[ProcessId]:
    yield record.id
    yield from (one.id for one in record.children if one.id)


async def test_survivors_of_a_dead_supervisor_keep_its_files_for_they_say_who_they_are(home: Home) -> None:
    home.run.mkdir()
    async with supervised(home.run, child(home.run, "sleeper", SLEEP)) as stack:
        await stack.until(lambda found: found.children[0].id, "it runs")
        text = (home.run / "supervisor.json").read_text()
        other = home.path / "other"
        (other / "run").mkdir(parents=True)
        folder, here = str(home.run.stat().st_ino), str((other / "run").stat().st_ino)
        (other / "run" / "supervisor.json").write_text(text.replace(folder, here))
        result = await clear_the_dead(at(Home(path=other)), judged("STG104"))
        assert result.outcome is FixOutcome.LEFT
        assert "`stigmer up` ends them" in result.message
        assert files_in(other / "run") == ["supervisor.json"]
        assert (await stack.ask("ping")) == {"ok": True}


async def test_nothing_is_removed_while_an_up_is_under_way(home: Home) -> None:
    home.run.mkdir()
    (home.run / SOCKET).touch()
    lock = FileLock(home.run / "up.lock")
    assert lock.acquire()
    try:
        result = await clear_the_dead(at(home), judged("STG104"))
    finally:
        lock.release()
    assert result == left(f"a `stigmer up` or `down` (pid {os.getpid()}) is at work here")
    assert (home.run / SOCKET).exists()


async def test_a_home_without_a_stack_has_nothing_to_clear(home: Home) -> None:
    result = await clear_the_dead(at(home), judged("STG104"))
    assert result == left("a dead supervisor left nothing behind; to start the stack: stigmer up")


# -- parts

UNTIL_ALLOWED = "import pathlib, sys, time; pathlib.Path('allowed').exists() or sys.exit(7); time.sleep(600)"


async def test_a_part_that_gave_up_is_started_through_its_supervisor(home: Home) -> None:
    home.run.mkdir()
    async with supervised(home.run, child(home.run, "temporal", UNTIL_ALLOWED)) as stack:
        record = await stack.until(lambda found: found.children[0].failures > 1, "it fails")
        seen = replace(probe(), record=record)
        facts = at(home, supervisor=seen, processes={}, clock=SystemClock(), ports=FREE)

        assert await start_part(facts, judged("STG105")) == not_done(
            "started temporal, and it ended again: ended by itself with exit code 7"
        )
        (home.run / "allowed").touch()
        result = await start_part(facts, judged("STG105"))
        after = await stack.child("temporal", lambda found: found.id, "it runs")
        assert after.id is not None
        assert result == done(f"started temporal (pid {after.id.pid})")


FREE = (PortSeen(part="temporal", port=7233, flag="--temporal-port", is_free=True),)
TAKEN = (PortSeen(part="temporal", port=7233, flag="--temporal-port"),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "it has a process (pid 11), and a running process is never stopped or woken without asking"),
        (
            {"processes": {"temporal": ProcessSeen(pid=11, is_frozen=True)}},
            "it has a process (pid 11), and a running process is never stopped or woken without asking",
        ),
        ({"processes": {}, "ports": TAKEN}, "it cannot start while port 7233 is held by None"),
        ({"supervisor": probe(is_answering=False)}, "the supervisor, which would start it, does not answer"),
        ({"supervisor": NOBODY}, "the supervisor, which would start it, does not answer"),
        ({"processes": {}, "ports": FREE}, "the supervisor, which would start it, is gone"),
    ],
)
async def test_a_part_is_left_alone(home: Home, changes: dict[str, Any], why: str) -> None:
    assert await start_part(at(home, **changes), judged("STG105")) == left(why)


async def test_a_part_that_the_supervisor_does_not_know_is_left_alone(home: Home) -> None:
    home.run.mkdir()
    async with supervised(home.run, child(home.run, "sleeper", SLEEP)):
        seen = probe(record_of("temporal", id=None, state="stopped"))
        facts = at(home, supervisor=seen, processes={}, ports=FREE)
        assert await start_part(facts, judged("STG105")) == left("there is no part temporal")


# -- orphans


TOKEN = "token-of-a-test"


class Answering:
    """A server that answers every POST with the same lines, and remembers what it was asked.

    `is_endless`: more lines are announced, and never come.
    """

    def __init__(self, *lines: str, status: str = "200 OK", is_endless: bool = False) -> None:
        body = "".join(f"{line}\n" for line in lines)
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body) + is_endless}\r\n"
        self.is_endless = is_endless
        self.answer = f"{head}Connection: close\r\n\r\n{body}".encode()
        self.asked = b""
        self.is_over = asyncio.Event()

    async def result(self) -> ActResult:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            seen = ServerSeen(url=f"http://127.0.0.1:{port}")
            facts = healthy(server=seen, settings=Settings(home=HOME, token=TOKEN))
            result = await bring_back(facts, judged("STG402"))
            await self.is_over.wait()
        return result

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if proof := proof_for(head, writer.get_extra_info("sockname"), TOKEN):
            writer.write(proof)
            head = await reader.readuntil(b"\r\n\r\n")
        size = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        self.asked = await reader.readexactly(size)
        writer.write(self.answer)
        await writer.drain()
        if self.is_endless:
            await reader.read()
        writer.close()
        self.is_over.set()


def summary(**numbers: int) -> str:
    whole = {"examined": 3, "resubmitted": 0, "repaired": 0, "attention": 0, "skipped": 0, "failed": 0} | numbers
    return '{"summary": {' + ", ".join(f'"{name}": {number}' for name, number in whole.items()) + "}}"


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (
            [summary(resubmitted=2, repaired=1)],
            done("of 3 executions: 2 submitted again, 1 brought up to date with Temporal"),
        ),
        ([summary(resubmitted=2, failed=1)], not_done("of 3 executions: 2 submitted again, 1 failed")),
        ([summary(attention=1)], done("of 3 executions: 1 marked for your decision")),
        ([summary()], left("reconcile found nothing left to repair")),
        (
            ['{"problem": {"title": "t", "status": 409, "code": "conflict", "detail": "held"}}'],
            left("held"),
        ),
        (
            ['{"problem": {"title": "t", "status": 503, "code": "temporal-unavailable", "detail": "away"}}'],
            not_done("away"),
        ),
    ],
)
async def test_the_answer_of_reconcile_is_reported(lines: Sequence[str], result: ActResult) -> None:
    assert await Answering(*lines).result() == result


async def test_a_reconcile_that_takes_longer_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stigmer_cli.doctor.repairs.orphans.RECONCILE_MAX_S", 3.0)
    server = Answering('{"progress": {"examined": 25, "total": 90000}}', is_endless=True)
    assert await server.result() == not_done(
        "25 of 90000 executions in 3s; `stigmer executions reconcile --yes` continues with the rest"
    )


async def test_what_was_lost_in_progress_is_never_started_over() -> None:
    server = Answering(summary())
    await server.result()
    assert b'"includeInProgress":false' in server.asked
    assert b'"dryRun":false' in server.asked


async def test_a_server_that_is_away_is_a_repair_that_failed() -> None:
    facts = healthy(server=ServerSeen(url="http://127.0.0.1:1"))
    assert (await bring_back(facts, judged("STG402"))).outcome is FixOutcome.FAILED
