"""Parts whose program was moved or removed are named with it, and `stigmer restart` is the way out."""

from stigmer_cli.doctor.checks import installation, parts
from stigmer_cli.doctor.facts.facts import ProcessSeen
from stigmer_cli.supervisor.record import ExitRecord
from tests.unit.doctor.facts_builder import PIDS, brief, child, healthy, probe

OLD = "/old/bin/python"
GONE = f"could not be started: its program {OLD} is gone: it was moved, removed or upgraded"


async def test_programs_that_are_gone_are_a_warning_with_the_parts_that_run_from_them() -> None:
    gone = {"supervisor": OLD, "temporal": "/old/bin/temporal", "server": OLD, "runner": OLD}
    seen = {name: ProcessSeen(pid=pid, gone_program=gone[name]) for name, pid in PIDS.items()}
    found = await installation.installation(healthy(processes=seen))
    assert brief(found) == (
        "warn",
        (
            "programs that running parts were started from are gone: /old/bin/temporal (temporal), /old/bin/python"
            " (server, runner); a part that ends cannot be started again"
        ),
        "stigmer restart",
    )


async def test_a_supervisor_whose_program_is_gone_starts_the_parts_of_another_all_the_same() -> None:
    seen = {name: ProcessSeen(pid=pid, gone_program=OLD if name == "supervisor" else "") for name, pid in PIDS.items()}
    assert (await installation.installation(healthy(processes=seen))).result == "pass"


async def test_a_part_that_cannot_be_started_again_is_a_failure_with_the_same_way_out() -> None:
    why = ExitRecord(why=GONE, at="2026-01-01T00:00:00Z")
    ended = child("server", id=None, state="failed", failures=5, last_exit=why)
    found = await parts.server_process(healthy(supervisor=probe(ended)))
    assert brief(found) == ("fail", f"server does not run: {GONE}", "stigmer restart")
